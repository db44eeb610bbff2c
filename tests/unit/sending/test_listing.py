"""Which files patterns stand for, in which order, and which of them make pairs."""

import glob
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agewell.producer.sending.files import LocalFile
from agewell.producer.sending.listing import expand, expand_one, in_order
from agewell.producer.sending.pairing import broadcast
from agewell.shared.errors import BadFileError


@pytest.fixture
def photos(tmp_path):
    for name in ("b.jpg", "a.png", "sub/c.TIFF", "sub/notes.txt", "sub/d.webp"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\xff\xd8\xff")
    return tmp_path


def names(files):
    return [file.name for file in files]


def make(folder, *paths):
    """Empty files."""
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    return folder


def test_a_folder_stands_for_the_images_in_it_and_below_named_by_their_paths(photos):
    assert names(expand([str(photos)])) == ["a.png", "b.jpg", "sub/c.TIFF", "sub/d.webp"]


def test_a_glob_stands_for_the_files_that_match(photos):
    assert names(expand([f"{photos}/*.png", f"{photos}/**/*.webp"])) == ["a.png", "d.webp"]


def test_a_file_with_magic_in_its_name_is_that_file(photos):
    path = photos / "what[1].jpg"
    path.write_bytes(b"")
    assert list(expand([str(path)])) == [LocalFile(path, "what[1].jpg")]


@pytest.mark.parametrize("pattern", ["*.gif", "sub/nothing*"])
def test_a_glob_that_matches_nothing_is_an_error_that_names_it(photos, pattern):
    with pytest.raises(BadFileError, match="no file matches"):
        list(expand([f"{photos}/{pattern}"]))


def test_a_folder_without_images_is_an_error_that_names_it(tmp_path):
    with pytest.raises(BadFileError, match="no image in this folder"):
        list(expand([str(tmp_path)]))


COUNTED = [f"{number}.jpg" for number in (1, 2, 3, 10, 11, 100)]


@pytest.mark.parametrize("pattern", ["", "/*", "/*.jpg", "/**"])
def test_folders_and_globs_come_in_the_order_in_which_people_count(tmp_path, pattern):
    make(tmp_path, *sorted(COUNTED, reverse=True))
    assert names(expand([f"{tmp_path}{pattern}"])) == COUNTED


@pytest.mark.parametrize(
    ("ordered"),
    [
        ["a.jpg", "B.jpg", "c.jpg"],
        ["img1_mask.png", "img2_mask.png", "img10_mask.png"],
        ["a_mask.png", "aB_mask.png", "b_mask.png"],
        ["v1.2.png", "v1.10.png"],
        ["e\u0301a.png", "\u00e9b.png"],  # decomposed, as macOS writes it, and composed
        ["1.jpg", "01.png"],
    ],
)
def test_names_are_sorted_naturally(ordered):
    assert in_order(sorted(ordered, reverse=True)) == ordered


STEMS = st.text("ab12._- B", min_size=1, max_size=6)


@given(
    st.sets(STEMS, min_size=1, max_size=12), st.sampled_from(["_mask", "-m", " copy", "B", ".x"])
)
def test_an_ending_that_all_share_does_not_change_the_order(stems, ending):
    plain = [name.removesuffix(".jpg") for name in in_order(f"{stem}.jpg" for stem in stems)]
    ended = in_order(f"{stem}{ending}.png" for stem in stems)
    assert [name.removesuffix(f"{ending}.png") for name in ended] == plain


@pytest.mark.parametrize("name", ["{}{}", "{}_mask{}", "{}-mask{}", "mask {}{}"])
def test_a_glob_is_paired_with_a_folder_by_the_numbers_in_the_names(tmp_path, name):
    make(tmp_path, *(f"photos/{n}.jpg" for n in range(1, 13)))
    make(tmp_path, *("masks/" + name.format(n, ".png") for n in range(1, 13)))
    sides = {"foreground": f"{tmp_path}/masks/*.png", "background": f"{tmp_path}/photos"}
    pairs = [(pair["foreground"].name, pair["background"].name) for pair in broadcast(sides)]
    assert pairs == [(name.format(n, ".png"), f"{n}.jpg") for n in range(1, 13)]


def test_pipe_or_broken_link_keeps_its_place_in_the_pairs(tmp_path):
    make(tmp_path, "masks/1.png", "masks/4.png", "photos/1.jpg", "photos/4.jpg")
    make(tmp_path, "photos/2.jpg", "photos/3.jpg")
    os.mkfifo(tmp_path / "masks/2.png")
    (tmp_path / "masks/3.png").symlink_to("nowhere")
    for masks in (f"{tmp_path}/masks", f"{tmp_path}/masks/*.png"):
        pairs = broadcast({"mask": masks, "photo": f"{tmp_path}/photos/*"})
        assert [(p["mask"].name, p["photo"].name) for p in pairs] == [
            (f"{n}.png", f"{n}.jpg") for n in (1, 2, 3, 4)
        ]


def test_a_circle_of_links_is_not_followed(tmp_path):
    make(tmp_path, "x/a.png")
    for link in ("x/l1", "x/l2"):
        (tmp_path / link).symlink_to("..")
    for pattern in ("", "/**", "/**/*.png", "/**/**/*.png", "/**/x/**/*.png"):
        assert [file.path for file in expand([f"{tmp_path}{pattern}"])] == [tmp_path / "x/a.png"]


def test_a_file_that_several_patterns_find_is_taken_once(tmp_path):
    make(tmp_path, "a.png", "sub/b.png")
    (tmp_path / "link").symlink_to("sub")
    patterns = [f"{tmp_path}/a.png", str(tmp_path), f"{tmp_path}/*/*.png", f"{tmp_path}/./a.png"]
    assert names(expand(patterns)) == ["a.png", "sub/b.png"]


def test_a_second_name_of_a_file_is_a_file_with_its_own_result(tmp_path):
    make(tmp_path, "a.png")
    (tmp_path / "b.png").symlink_to("a.png")
    (tmp_path / "c.png").hardlink_to(tmp_path / "a.png")
    assert names(expand([str(tmp_path)])) == ["a.png", "b.png", "c.png"]


def test_a_folder_named_like_an_image_is_a_folder(tmp_path):
    make(tmp_path, "a.png/b.png")
    assert names(expand([str(tmp_path)])) == ["a.png/b.png"]
    assert names(expand([f"{tmp_path}/**"])) == ["b.png"]


def test_an_empty_path_is_not_the_working_directory(photos):
    bad = []
    assert names(expand(["", str(photos / "a.png")], bad.append)) == ["a.png"]
    assert [str(error) for error in bad] == ["'': an empty path"]


def test_pattern_without_a_file_is_reported_and_the_others_go_on(tmp_path):
    make(tmp_path, "a.png", "empty/notes.txt")
    bad: list[BadFileError] = []
    patterns = [f"{tmp_path}/empty", f"{tmp_path}/*.gif", f"{tmp_path}/a.png"]
    assert names(expand(patterns, bad.append)) == ["a.png"]
    assert [(error.path, error.reason) for error in bad] == [
        (patterns[0], "no image in this folder"),
        (patterns[1], "no file matches"),
    ]


@pytest.fixture
def locked():
    """A folder in which a stranger may not read everything. The test runs as that stranger."""
    with tempfile.TemporaryDirectory() as name:
        folder = make(Path(name), "locked/b.png", "a.png", "c.png", "also/b.png")
        folder.chmod(0o755)
        (folder / "locked").chmod(0)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65_534)
        try:
            yield folder
        finally:
            os.seteuid(user)
            (folder / "locked").chmod(0o755)


@pytest.mark.parametrize("pattern", ["", "/**/*.png"])
def test_an_unreadable_folder_is_reported_and_the_others_go_on(locked, pattern):
    bad: list[BadFileError] = []
    found = expand([f"{locked}{pattern}", f"{locked}/locked/b.png"], bad.append)
    assert [file.path.relative_to(locked) for file in found] == [
        Path("a.png"), Path("c.png"), Path("also/b.png"), Path("locked/b.png"),
    ]  # fmt: skip
    assert {str(error) for error in bad} == {f"{locked}/locked: folder not read: permission denied"}


def test_an_unreadable_folder_stops_a_pairing(locked):
    sides = {"mask": str(locked), "photo": f"{locked}/*.png"}
    with pytest.raises(BadFileError, match="locked: folder not read"):
        list(broadcast(sides))


def test_a_glob_of_too_many_parts_is_reported_and_the_others_go_on(photos):
    bad = []
    found = expand([f"{photos}/{'*/' * 700}*.png", str(photos / "a.png")], bad.append)
    assert names(found) == ["a.png"]
    assert "parts; at most 100" in str(bad[0])


def test_hidden_files_match_only_a_pattern_with_a_dot(tmp_path):
    make(tmp_path, ".hidden.png", "a.png", ".git/b.png")
    assert names(expand_one(f"{tmp_path}/**/*.png")) == ["a.png"]
    assert names(expand_one(f"{tmp_path}/.*.png")) == [".hidden.png"]


PATTERNS = "* */* */deep/* **/*.png **/deep/* s*/d*/*.p?g [!o]*/* ./* */../*.jpg **/x[[]1].png"


@pytest.mark.parametrize("pattern", [*PATTERNS.split(), "sub/deep/y[0-9].png", "nosuch/*"])
def test_globs_match_what_the_standard_library_matches(photos, pattern):
    make(photos, "sub/deep/x[1].png", "sub/deep/y1.png", "other/deep/y2.PNG")
    matches = glob.glob(f"{photos}/{pattern}", recursive=True)  # noqa: PTH207  the oracle
    found = [file.path for file in expand_one(f"{photos}/{pattern}", lambda _: None)]
    assert sorted(found) == sorted(path for path in map(Path, matches) if path.is_file())


def paths_of(sources):
    return [{field: file.path.name for field, file in source.items()} for source in sources]


def test_a_single_file_goes_with_each_of_the_others(photos):
    found = paths_of(broadcast({"foreground": f"{photos}/a.png", "background": f"{photos}/sub"}))
    assert found == [
        {"foreground": "a.png", "background": "c.TIFF"},
        {"foreground": "a.png", "background": "d.webp"},
    ]


def test_single_files_make_one_item(photos):
    sides = {"source": f"{photos}/a.png", "mask": f"{photos}/b.jpg", "destination": None}
    assert paths_of(broadcast(sides)) == [{"source": "a.png", "mask": "b.jpg"}]


def test_different_numbers_of_files_are_refused(photos):
    sides = {"foreground": str(photos), "background": f"{photos}/sub"}
    words = rf"{photos}: has 4 files, but {photos}/sub has 2"
    with pytest.raises(BadFileError, match=words):
        list(broadcast(sides | {"mask": f"{photos}/b.jpg"}))


def test_subfolders_with_different_numbers_of_files_are_refused(tmp_path):
    make(tmp_path, "p/a/1.png", "p/a/2.png", "p/b/1.png", "p/b/2.png", "p/b/3.png", "p/0.png")
    make(tmp_path, "m/A/1.png", "m/A/2.png", "m/A/3.png", "m/B/1.png", "m/B/2.png", "m/0.png")
    sides = {"foreground": f"{tmp_path}/p", "background": f"{tmp_path}/m"}
    with pytest.raises(BadFileError, match="different numbers of files"):
        list(broadcast(sides))
    (tmp_path / "m/A/3.png").rename(tmp_path / "m/B/3.png")
    pairs = [(each["foreground"].name, each["background"].name) for each in broadcast(sides)]
    assert pairs == [(name, name.upper().replace("PNG", "png")) for name, _ in pairs]
    flat = sides | {"background": f"{tmp_path}/m/**/*.png"}
    assert len(list(broadcast(flat))) == 6
