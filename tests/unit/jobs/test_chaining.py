"""A step's images in the job of the next one, by hand-made documents."""

import pytest

from agewell.shared.errors import BadJobError
from agewell.shared.protocol.messages import ErrorInfo, ItemResult, JobResult
from agewell.workers.jobs.chaining import next_job, with_earlier_errors
from agewell.workers.jobs.job_classes import parse_job


def reference(name: str) -> dict[str, object]:
    return {
        "uri": f"redis:{'0' * 64}",
        "sha256": "0" * 64,
        "size_bytes": 1,
        "media_type": "image/png",
        "name": name,
    }


def result(*names: str | None) -> dict[str, object]:
    """A result with an image of each name, and an error for each None."""
    bad = {"error": {"code": "UndecodableError", "message": "bad"}}
    return {
        "op": "hsv",
        "items": [{"image": reference(name)} if name else bad for name in names],
    }


def names(document: dict, field: str) -> list[str]:
    parse_job(document)  # it must be a whole job
    return [item[field]["name"] for item in document["items"]]


def test_a_job_without_items_goes_on_with_every_image():
    document, earlier = next_job(result("a", "b"), {"op": "hsv", "full_range": True})
    assert names(document, "image") == ["a", "b"]
    assert document["full_range"] is True
    assert earlier == (None, None)


@pytest.mark.parametrize(
    ("given", "filled"), [("background", "foreground"), ("foreground", "background")]
)
def test_images_fill_the_field_that_the_item_leaves_open(given: str, filled: str):
    template = {"op": "alpha_blend", "alpha": 0.5, "items": [{given: reference("mine")}]}
    document, _ = next_job(result("a", "b"), template)
    assert names(document, filled) == ["a", "b"]
    assert names(document, given) == ["mine", "mine"]


def test_an_optional_image_is_filled_if_all_that_are_required_are_named():
    template = {
        "op": "alpha_blend",
        "items": [{"foreground": reference("over"), "background": reference("under")}],
    }
    document, _ = next_job(result("mask a", "mask b"), template)
    assert names(document, "mask") == ["mask a", "mask b"]
    assert names(document, "foreground") == ["over", "over"]


def test_as_many_items_go_one_with_each_image():
    template = {
        "op": "poisson_blend",
        "items": [
            {"mask": reference(f"mask {n}"), "destination": reference(f"to {n}")} for n in (1, 2)
        ],
    }
    document, _ = next_job(result("a", "b"), template)
    assert names(document, "source") == ["a", "b"]
    assert names(document, "mask") == ["mask 1", "mask 2"]


def test_a_chord_gives_the_images_of_all_its_parts_in_order():
    document, _ = next_job([result("a"), result("b", "c")], {"op": "hsv"})
    assert names(document, "image") == ["a", "b", "c"]


def test_an_item_that_failed_keeps_its_error_and_its_place():
    template = {
        "op": "alpha_blend",
        "alpha": 1.0,
        "items": [{"background": reference(f"under {n}")} for n in range(3)],
    }
    document, earlier = next_job(result("a", None, "c"), template)
    assert names(document, "background") == ["under 0", "under 2"]
    error = ErrorInfo(code="UndecodableError", message="bad")
    assert earlier == (None, error, None)
    first, last = ItemResult(info={"n": 1}), ItemResult(info={"n": 3})
    woven = with_earlier_errors(JobResult(op="alpha_blend", items=(first, last)), earlier)
    assert woven.items == (first, ItemResult(error=error), last)


BAD = {
    "no_result": ({"op": "hsv"}, {"op": "hsv"}, "result of the step before"),
    "a_number": (1, {"op": "hsv"}, "result of the step before"),
    "no_job": (result("a"), "hsv", "must be the next job"),
    "items_no_list": (result("a"), {"op": "hsv", "items": {"a": 1}}, "a list of objects"),
    "items_no_objects": (result("a"), {"op": "hsv", "items": [1]}, "a list of objects"),
    "other_number": (result("a", "b", "c"), {"op": "hsv", "items": [{}, {}]}, "2 items .* 3"),
    "no_image": (result(None), {"op": "hsv"}, "there is no image to use"),
    "no_room_for_a_mask": (
        result("a"),
        {
            "op": "alpha_blend",
            "items": [{name: reference(name) for name in ("foreground", "background", "mask")}],
        },
        "leave one out",
    ),
    "no_room": (result("a"), {"op": "hsv", "items": [{"image": reference("b")}]}, "leave one out"),
}


@pytest.mark.parametrize(("before", "document", "words"), BAD.values(), ids=BAD)
def test_step_that_cannot_follow_is_refused_in_words(before: object, document: object, words: str):
    with pytest.raises(BadJobError, match=words):
        next_job(before, document)
