import os
import socket
from pathlib import Path

import cv2
import numpy as np
import pytest

from agewell.producer.sending.files import LocalFile, read_image, sniff
from agewell.shared.errors import BadFileError


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


def kinds_of_file(folder):
    """One of each kind of thing that is no regular file, by the word for it."""
    pipe, socket_file, link = folder / "pipe.png", folder / "socket.png", folder / "link.png"
    os.mkfifo(pipe)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(socket_file))
    link.symlink_to("nowhere.png")
    return {
        "a pipe, not a regular file": pipe,
        "a socket, not a regular file": socket_file,
        "a device, not a regular file": Path("/dev/zero"),
        "a folder, not a regular file": folder,
        "no such file": link,
    }


def test_only_regular_files_are_read(short_path):
    for words, path in kinds_of_file(short_path).items():
        with pytest.raises(BadFileError, match=words) as caught:
            read_image(LocalFile(path, "x.png"), 1000)
        assert str(path) in str(caught.value)


def test_a_pipe_named_on_the_command_line_is_refused_without_a_wait():
    reading, writing = os.pipe()
    try:
        with pytest.raises(BadFileError, match="a pipe, not a regular file"):
            read_image(LocalFile(Path(f"/dev/fd/{reading}"), "x.png"), 1000)
    finally:
        os.close(reading)
        os.close(writing)


def test_a_file_that_hides_its_size_is_read_up_to_the_limit():
    path = Path("/proc/self/smaps")  # says 0 bytes, and has many more
    assert path.stat().st_size == 0
    with pytest.raises(BadFileError, match="AGEWELL_MAX_FILE_BYTES is 100"):
        read_image(LocalFile(path, "x.png"), 100)


@pytest.mark.parametrize(
    ("name", "words"),
    [(os.fsdecode(b"caf\xe9.png"), "not UTF-8"), ("a/" * 511 + "xyz", "1,025 characters")],
)
def test_a_name_that_cannot_be_sent_is_refused(tmp_path, name, words):
    path = tmp_path / "x.png"
    path.write_bytes(b"\xff\xd8\xff")
    with pytest.raises(BadFileError, match=words):
        read_image(LocalFile(path, name), 100)
    assert read_image(LocalFile(path, "a/" * 511 + "xy"), 100) == ("image/jpeg", b"\xff\xd8\xff")


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


@pytest.mark.parametrize("magic", [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"])
def test_tiff_and_big_tiff_are_told_in_either_byte_order(magic):
    assert sniff(magic + bytes(8)) == "image/tiff"
