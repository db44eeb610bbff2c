"""The page of one job, over plain HTTP: predictions, waiting jobs, and ids of no job."""

import html
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from agewell.shared.errors import AllItemsFailedError
from agewell.shared.queue.dead_letters import DeadLetters
from tests.support.image_files import file_of
from tests.support.messages import answer_to, hsv_job, inline, send, stored
from tests.support.paths import ROOT
from tests.support.stack import Stack
from tests.support.watched import flower

DIGITS = ROOT / "examples" / "digits"


def page_of(stack: Stack, job_id: str) -> str:
    answer = flower(stack, f"/job/{quote(job_id, safe='')}")
    assert answer.status == 200, answer.text
    return answer.text


def texts(page: str, tag: str) -> list[str]:
    found = re.findall(rf"<{tag}\b[^>]*>(.*?)</{tag}>", page, re.DOTALL)
    return [html.unescape(re.sub(r"<[^>]+>", "", each)).strip() for each in found]


def facts(page: str) -> dict[str, str]:
    return dict(zip(texts(page, "dt"), texts(page, "dd"), strict=True))


def test_page_of_a_classification_shows_its_classes(watched: Stack):
    [job_id] = watched.enqueue("infer", "digits", DIGITS / "3.png", "--set", "top=2")
    watched.wait_ended([job_id])
    [item] = watched.celery.AsyncResult(job_id).result["items"]
    page = page_of(watched, job_id)
    cells = [each for row in texts(page, "tbody") for each in row.split("\n") if each.strip()]
    said = [each.strip() for each in cells]
    expected = [
        each
        for found in item["prediction"]["classes"]
        for each in (found["label"], f"{100 * found['probability']:.1f} %")
    ]
    assert said == expected
    assert said[0] == "3"
    assert len(said) == 4
    assert facts(page) | {"Model": "digits, version 1", "Top": "2"} == facts(page)
    for wrong in ("failed", "no image"):
        assert wrong not in page


def test_page_names_the_tenant_of_a_job(watched: Stack, photos: Path):
    for option, expected in ((("--tenant", "lab/ana"), "lab/ana"), ((), None)):
        [job_id] = watched.enqueue("hsv", photos / "bird.jpg", *option)
        assert facts(page_of(watched, job_id)).get("Tenant") == expected


def test_a_pinned_version_and_a_palette_are_among_the_parameters(watched: Stack, photos: Path):
    [job_id] = watched.enqueue(
        *(
            "infer",
            "colorizer",
            photos / "bird.jpg",
            "--version",
            "1",
            "--palette",
            "#8fb3d9,#3a5f3c",
        ),
        *("--tap", "down.1.self_attention", "--format", "jpeg", "--quality", 80),
    )
    watched.wait_ended([job_id])
    page = page_of(watched, job_id)
    found = facts(page)
    assert found["Model"] == "colorizer, version 1"
    assert found["Palette"].split() == ["#8fb3d9", "#3a5f3c"]
    assert found["Tap"] == "down.1.self_attention"
    assert found["Output"] == "jpeg, 80"
    # The result, and the picture of the tap; its numbers are named.
    shown = [f"/job/{job_id}/0/{field}" for field in ("result", "extra_1", "extra_2")]
    assert [flower(watched, address).status for address in shown] == [200, 200, 404]
    assert "bird.colorizer.down.1.self_attention.npz" in page


def test_a_job_of_which_all_items_failed_shows_each_error_by_its_image(watched: Stack):
    bad = [stored(watched, text, f"bad-{text.decode()}.png") for text in (b"one", b"two")]
    job_id = send(watched, "cv.hsv", hsv_job(*bad))
    watched.wait_ended([job_id])
    page = page_of(watched, job_id)
    errors = [each for each in texts(page, "p") if each.startswith("bad-")]
    with pytest.raises(AllItemsFailedError) as caught:
        answer_to(watched, job_id)
    assert errors == [each["message"] for each in caught.value.errors]
    assert [each.partition(":")[0] for each in errors] == ["bad-one.png", "bad-two.png"]
    assert texts(page, "figcaption") == ["image: bad-one.png", "image: bad-two.png"]


def test_a_job_that_is_malformed_shows_why(watched: Stack):
    job_id = send(watched, "cv.hsv", {"op": "hsv", "items": []})
    watched.wait_ended([job_id])
    assert "items: must have a length of at least 1" in facts(page_of(watched, job_id))["Error"]


STRANGE = {
    "short": "nosuch",
    "html": "<script>alert(1)</script>",
    "slashes": "a/b/c",
    "long": "x" * 1500,
    "null": "\0",
    "escape": "\x1b[2J",
    "emoji": "😀",
    "quotes": "'\"`{{7*7}}%",
    "uuid": "11111111-2222-3333-4444-555555555555",
}


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("after", ["", "/0/image", "/0/result", "/nothing"])
def test_page_of_an_unknown_id_says_that_it_is_unknown(watched: Stack, name: str, after: str):
    job_id = STRANGE[name]
    answer = flower(watched, f"/job/{quote(job_id, safe='')}{after}")
    assert answer.status == 404
    assert "Traceback" not in answer.text
    assert "<script>alert" not in answer.text
    if after in ("", "/nothing"):
        assert "There is no job with this id" in answer.text
        assert "agewell jobs" in answer.text
        assert html.escape(job_id)[:8] in answer.text or not job_id.isprintable()


@pytest.mark.parametrize("path", ["/job/", "/job/a/b/c", "/job/%FF", "/job/a/1000/image"])
def test_an_address_that_is_no_jobs_has_no_stack_trace(watched: Stack, path: str):
    answer = flower(watched, path)
    assert answer.status in (400, 404)
    assert "Traceback" not in answer.text
    assert "navbar" in answer.text


def test_the_search_field_takes_anything(watched: Stack):
    for typed in ("", " a b ", "<b>", "a/b", "x" * 3000):
        answer = flower(watched, f"/job?id={quote(typed)}")
        assert answer.status == 302
        url = answer.headers["Location"].removeprefix("/ops/queue")
        assert flower(watched, url).status == 404


def test_page_of_a_foreign_task_calls_it_celerys(watched: Stack):
    watched.celery.backend.store_result("not-ours", {"total": 3}, "SUCCESS")
    answer = flower(watched, "/job/not-ours")
    assert answer.status == 404
    assert "It is not an agewell job" in answer.text
    assert "SUCCESS" in answer.text


@pytest.fixture
def letters(watched: Stack) -> Iterator[DeadLetters]:
    kept = DeadLetters(watched.redis)
    yield kept
    for each in kept.latest():
        kept.drop(each.letter_id)


def test_page_of_a_dead_letter_shows_reason_images_and_commands(
    watched: Stack, letters: DeadLetters
):
    image = stored(watched, file_of("PNG"), "dead.png")
    job = {"task": "cv.hsv", "args": [hsv_job(image)], "kwargs": {}, "options": {}}
    letters.keep_job("dead-1", "cv", job, 5, "its worker ended 3 times", "1700000000 cv@x")
    page = page_of(watched, "dead-1")
    assert facts(page)["Error"] == "its worker ended 3 times"
    assert "agewell dead show dead-1" in page
    assert flower(watched, "/job/dead-1/0/image").status == 200


def test_a_dead_letter_that_is_no_job_has_a_page(watched: Stack, letters: DeadLetters):
    letters.keep_message("dead-2", "cv", b"<b>junk</b>", "no message of Celery's")
    assert facts(page_of(watched, "dead-2"))["Error"] == "no message of Celery's"


def test_each_step_of_a_chain_has_a_page_with_its_images(watched: Stack):
    first = watched.celery.signature("cv.hsv", args=[hsv_job(inline(file_of("PNG")))], queue="cv")
    second = watched.celery.signature("cv.hsv", args=[{"op": "hsv"}], queue="cv")
    last = (first | second).apply_async()
    watched.wait_ended([last.parent.id, last.id])
    for job_id in (last.parent.id, last.id):
        assert facts(page_of(watched, job_id))["Operation"] == "hsv"
        assert flower(watched, f"/job/{job_id}/0/result").status == 200
    assert flower(watched, f"/job/{last.id}/0/image").status == 200
