"""Paths of results: decided before anything is sent, by input order, each name once."""

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agewell.producer.receiving.result_names import UniqueNames, own_results
from agewell.producer.sending.files import LocalFile
from agewell.producer.sending.listing import expand
from agewell.producer.sending.plan import Plan, check_plan
from agewell.shared.errors import ParameterError
from agewell.shared.protocol.output_names import extra_name, fit, output_name


def plan_of(*names, made_by="hsv", **changes):
    files = [LocalFile(Path("/in", str(number), name), name) for number, name in enumerate(names)]
    return Plan(lambda _: ({"image": file} for file in files), made_by, "png", **changes)


def outputs(plan):
    return [item.outputs for item in plan.items(lambda _: None)]


def test_names_follow_the_order_of_the_input():
    plan = plan_of("x.jpg", "x.png", "trip/x.jpg", "x.hsv-2.jpg", "x.jpg")
    wanted = ["x.hsv.png", "x.hsv-2.png", "trip/x.hsv.png", "x.hsv-2.hsv.png", "x.hsv-3.png"]
    assert outputs(plan) == [(name,) for name in wanted]
    assert outputs(plan) == outputs(plan)


def test_only_a_name_that_a_worker_would_not_choose_travels():
    plan = plan_of("x.jpg", "x.png")
    assert [item.output_name for item in plan.items(lambda _: None)] == [None, "x.hsv-2.png"]


def test_names_that_differ_in_case_or_accents_only_are_numbered():
    plan = plan_of("Caf\u00e9.jpg", "cafe\u0301.jpg", "CAF\u00c9.jpg")
    wanted = ["Caf\u00e9.hsv.png", "cafe\u0301.hsv-2.png", "CAF\u00c9.hsv-3.png"]
    assert outputs(plan) == [(name,) for name in wanted]


def test_further_files_have_the_number_of_their_image():
    plan = plan_of("x.jpg", "x.png", made_by="unet", extras=(".up.npz", ".up.png"))
    assert outputs(plan) == [
        ("x.unet.png", "x.unet.up.npz", "x.unet.up.png"),
        ("x.unet-2.png", "x.unet-2.up.npz", "x.unet-2.up.png"),
    ]


@given(st.lists(st.text("aAb-2.", min_size=1, max_size=5), max_size=30))
def test_no_two_results_have_one_name(names):
    found = [each.casefold() for (each,) in outputs(plan_of(*names))]
    assert len(set(found)) == len(found) == len(names)


@given(st.text(min_size=1, max_size=1024))
def test_a_name_is_one_that_a_file_system_takes(name):
    made = output_name(name.replace("\x00", ""), "poisson_blend", "jpeg")
    assert len(made) <= 1024
    assert all(len(part.encode(errors="surrogatepass")) <= 255 for part in made.split("/"))
    assert made.endswith(".jpeg")


def test_long_names_are_shortened_and_stay_apart():
    names = ["z" * 247 + last + ".png" for last in "ab"]
    made = [output_name(name, "hsv", "png") for name in names]
    assert len(set(made)) == 2
    for name in made:
        assert len(name) == 255
        assert name.startswith("z" * 200)
        assert name.endswith(".hsv.png")
    umlauts = fit("\u00e4" * 200 + ".hsv.png")
    assert len(umlauts.encode()) in (254, 255)


def test_short_names_stay_as_they_are():
    assert output_name("trip/cat.jpg", "hsv", "png") == "trip/cat.hsv.png"
    assert output_name("v1.2/cat", "hsv", "png") == "v1.2/cat.hsv.png"
    assert extra_name("trip/cat.unet.png", ".up.npz") == "trip/cat.unet.up.npz"
    assert output_name("a/" * 511 + "b", "hsv", "png").endswith("/a/b.hsv.png")


def test_existing_results_are_refused_by_name(tmp_path):
    plan = plan_of("a.jpg", "b.jpg", "c.jpg", out=tmp_path)
    assert check_plan(plan, overwrite=False) == 3
    (tmp_path / "b.hsv.png").touch()
    (tmp_path / "c.hsv.png").symlink_to("nowhere")
    with pytest.raises(ParameterError, match=r"b\.hsv\.png and 1 more exist already"):
        check_plan(plan, overwrite=False)
    assert check_plan(plan, overwrite=True) == 3


def test_broken_link_is_not_skipped_as_a_result(tmp_path):
    (tmp_path / "a.hsv.png").symlink_to("nowhere")
    with pytest.raises(ParameterError) as caught:
        check_plan(plan_of("a.jpg", out=tmp_path, skip_existing=True), overwrite=False)
    assert "a.hsv.png exists already; allowed: regular files" in str(caught.value)


def test_resumed_run_sends_the_missing_files_under_the_same_names(tmp_path):
    (tmp_path / "x.hsv-2.png").touch()
    (tmp_path / ".0123456789abcdef-1.part").touch()  # of a run that was killed as it wrote
    plan = plan_of("x.jpg", "x.png", "x.bmp", out=tmp_path, skip_existing=True)
    assert outputs(plan) == [("x.hsv.png",), ("x.hsv-3.png",)]


def test_a_million_names_take_at_most_200_mb():
    names = UniqueNames()
    tracemalloc.start()
    for number in range(20_000):
        names.claim(f"a/folder/photo-{number}.hsv.png")
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size / 20_000 < 200


def test_ten_thousand_files_of_one_name_are_numbered_quickly():
    names = UniqueNames()
    found = [names.claim("x.png")[0] for _ in range(10_000)]
    assert found[-1] == "x-10000.png"


@pytest.mark.parametrize("pattern", ["", "/**", "/*/*", "/**/*.png"])
@pytest.mark.parametrize("link", [False, True])
def test_results_below_a_searched_folder_are_not_sent_again(tmp_path, pattern, link):
    photos = tmp_path / "photos"
    out = photos / "out"
    (out / "trip").mkdir(parents=True)
    (tmp_path / "link").symlink_to(out)
    for name in ("b.hsv.png", "out/mine.png", "out/c.unet.png", "out/trip/hsv.png"):
        (photos / name).touch()
    for name in ("a.hsv.png", "a.hsv-2.png", "trip/b.hsv.png", "a.b.hsv.up.1.png", "a.hsv.jpeg"):
        (out / name).touch()
    own = own_results(tmp_path / "link" if link else out, "hsv")
    found = {
        file.path.relative_to(photos).as_posix()
        for file in expand([f"{photos}{pattern}"], left_out=own)
    }
    everything = {"b.hsv.png", "out/mine.png", "out/c.unet.png", "out/trip/hsv.png"}
    two_below = {"out/mine.png", "out/c.unet.png"}
    assert found == (two_below if pattern == "/*/*" else everything)
    assert [file.path for file in expand([str(out / "a.hsv.png")], left_out=own)] == [
        out / "a.hsv.png"
    ]
