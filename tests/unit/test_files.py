import os

import cv2
import numpy as np
import pytest

from producer.collect import confined, write_file
from producer.files import LocalFile, expand, read_image, sniff
from producer.pairing import broadcast
from shared.errors import BadFileError


@pytest.fixture
def photos(tmp_path):
    for name in ("b.jpg", "a.png", "sub/c.TIFF", "sub/notes.txt", "sub/d.webp"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\xff\xd8\xff")
    return tmp_path


def names(files):
    return [file.name for file in files]


def test_a_folder_stands_for_the_images_in_it_and_below_named_by_their_paths(photos):
    assert names(expand([str(photos)])) == ["a.png", "b.jpg", "sub/c.TIFF", "sub/d.webp"]


def test_a_glob_stands_for_the_files_that_match(photos):
    assert sorted(names(expand([f"{photos}/*.png", f"{photos}/**/*.webp"]))) == ["a.png", "d.webp"]


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


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty (0 bytes)"),
        (b"hello, I am text", "not JPEG, PNG, WebP, TIFF, BMP: it begins with b'hello, I'"),
        (b"GIF89a" + bytes(20), "it begins with b'GIF89a"),
        (b"\xff\xd8\xff" + bytes(100), "103 bytes; AGEWELL_MAX_FILE_BYTES is 100"),
    ],
)
def test_a_bad_file_is_refused_before_it_is_sent(tmp_path, data, words):
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    with pytest.raises(BadFileError) as caught:
        read_image(LocalFile(path, "photo.jpg"), max_file_bytes=100)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)


def test_a_missing_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(BadFileError, match=r"nosuch\.jpg: no such file"):
        read_image(LocalFile(tmp_path / "nosuch.jpg", "nosuch.jpg"), 100)


@pytest.mark.parametrize(
    ("suffix", "media_type"),
    [
        (".jpg", "image/jpeg"),
        (".png", "image/png"),
        (".webp", "image/webp"),
        (".tiff", "image/tiff"),
        (".bmp", "image/bmp"),
    ],
)
def test_formats_are_told_by_their_first_bytes(suffix, media_type):
    _, data = cv2.imencode(suffix, np.zeros((4, 4, 3), np.uint8))
    assert sniff(data.tobytes()) == media_type


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
    with pytest.raises(BadFileError, match="fewer files than"):
        list(broadcast(sides))


def test_a_file_is_written_over_and_a_pipe_is_written_to(tmp_path):
    file, pipe = tmp_path / "new" / "file", tmp_path / "pipe"
    for data in (b"first", b"second"):
        write_file(file, data)
        assert file.read_bytes() == data
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_file(pipe, b"down the pipe")
        assert os.read(reader, 100) == b"down the pipe"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(BadFileError, match="folder"):
        write_file(tmp_path / "folder", b"data")
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize(
    "name", ["/x.png", "//x.png", "///x.png", "../x.png", "a/../../x.png", "//"]
)
def test_a_result_is_written_below_its_folder_whatever_its_name(tmp_path, name):
    folder = tmp_path / "out"
    assert confined(folder, name).resolve().is_relative_to(folder)
