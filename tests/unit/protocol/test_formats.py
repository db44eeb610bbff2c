"""The table of image formats, compared with the types of messages, OpenCV and mimetypes."""

import mimetypes
from typing import get_args

import cv2
import numpy as np
import pytest

from agewell.shared.protocol.formats import (
    FORMATS,
    IMAGE_SUFFIXES,
    Format,
    ImageMediaType,
    find_format,
)
from agewell.workers.imaging import decoders, headers


def test_the_table_has_a_row_for_every_format_and_media_type_of_messages():
    assert set(FORMATS) == set(get_args(Format))
    assert [each.name for each in FORMATS.values()] == list(FORMATS)
    assert {each.media_type for each in FORMATS.values()} == set(get_args(ImageMediaType))


def test_every_format_has_a_reader_and_a_decoder():
    assert set(headers._READERS) == set(FORMATS)
    assert set(decoders._DECODERS) == set(FORMATS)


def test_no_two_formats_share_a_suffix():
    suffixes = [suffix for each in FORMATS.values() for suffix in each.suffixes]
    assert len(set(suffixes)) == len(suffixes)
    assert set(suffixes) == IMAGE_SUFFIXES


@pytest.mark.parametrize("name", FORMATS)
def test_suffixes_have_the_media_type_that_python_knows(name):
    known = [mimetypes.guess_type("a" + each, strict=False)[0] for each in FORMATS[name].suffixes]
    assert set(known) - {None} == {FORMATS[name].media_type}


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_of_opencv_is_recognised_and_keeps_an_alpha_channel_if_the_row_says_so(name):
    image = np.full((3, 3, 4), (1, 2, 3, 128), np.uint8)
    for suffix in FORMATS[name].suffixes:
        if not cv2.haveImageWriter("a" + suffix):
            continue
        data = cv2.imencode(suffix, image)[1]
        assert find_format(data.tobytes()) is FORMATS[name]
        decoded = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
        assert (decoded.shape == (3, 3, 4)) == FORMATS[name].has_alpha


@pytest.mark.parametrize("name", ["jpeg", "webp"])
def test_the_longest_side_can_be_written_and_one_pixel_more_cannot(name):
    side = FORMATS[name].longest_side
    assert opencv_writes(name, side)
    assert not opencv_writes(name, side + 1)


def opencv_writes(name: str, side: int) -> bool:
    try:
        return cv2.imencode(f".{name}", np.zeros((1, side), np.uint8))[0]
    except cv2.error:
        return False


@pytest.mark.parametrize(
    "data", [b"", b"B", b"RIFF", b"RIFF1234WAVE", b"II*", b"GIF89a", bytes(99)]
)
def test_other_bytes_are_no_format(data):
    assert find_format(data) is None


def test_a_file_may_be_as_short_as_its_magic():
    assert find_format(b"BM") is FORMATS["bmp"]
