"""A JPEG is decoded smaller, by libjpeg, if that suffices."""

import io

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from agewell.shared.errors import ImageTooLargeError, UndecodableError
from agewell.workers.imaging.codec import Limits, decode
from tests.support.image_files import file_of
from tests.support.paths import PHOTOS

LIMITS = Limits()
SIDE = st.integers(1, 70)


def a_jpeg(width: int, height: int, orientation: int = 1, **options: object) -> bytes:
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    with Pillow.open(PHOTOS / "kodim23-macaws.jpg") as photo:
        return file_of("JPEG", photo.resize((width, height)), exif=exif, quality=95, **options)


def smallest(width: int, height: int, at_least: tuple[int, int]) -> tuple[int, int]:
    """The size as the documentation says it, computed with fractions rounded up."""
    sizes = [(int(np.ceil(width / by)), int(np.ceil(height / by))) for by in (8, 4, 2)]
    enough = [size for size in sizes if size[0] >= at_least[0] and size[1] >= at_least[1]]
    return min(enough, default=(width, height))


@settings(max_examples=80, deadline=None)
@given(SIDE, SIDE, st.tuples(SIDE, SIDE), st.sampled_from([1, 3, 5, 6, 8]))
@example(1, 1, (1, 1), 6)
@example(17, 65, (3, 9), 1)  # both an eighth, rounded up
@example(64, 8, (8, 1), 5)
def test_it_is_the_smallest_size_that_suffices(width, height, at_least, orientation):
    image = decode(a_jpeg(width, height, orientation), "x", LIMITS, at_least)
    upright = (width, height) if orientation < 5 else (height, width)
    assert image.shape == (*smallest(*upright, at_least)[::-1], 3)


@pytest.mark.parametrize("divisor", [2, 4, 8])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_pixels_are_those_of_pillow_draft(divisor, options):
    data = a_jpeg(800, 600, **options)
    size = (800 // divisor, 600 // divisor)
    with Pillow.open(io.BytesIO(data)) as picture:
        picture.draft("RGB", size)
        expected = np.asarray(picture)[..., ::-1]
    # Both use libjpeg-turbo's reduced transform; the colours' rounding differs between versions.
    difference = np.abs(decode(data, "x", LIMITS, size).astype(int) - expected)
    assert difference.max() <= 4 and difference.mean() < 0.5


def test_it_looks_like_the_mean_of_the_full_size():
    data = a_jpeg(800, 600)
    full = decode(data, "x", LIMITS)
    expected = cv2.resize(full, (200, 150), interpolation=cv2.INTER_AREA)
    reduced = decode(data, "x", LIMITS, (200, 150))
    assert np.abs(reduced.astype(int) - expected).mean() < 2  # gray levels


def test_gray_stays_gray():
    data = file_of("JPEG", Pillow.new("L", (64, 48), 200))
    assert decode(data, "x", LIMITS, (16, 12)).shape == (12, 16)


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "TIFF", "BMP"])
def test_other_formats_keep_their_size(image_format):
    data = file_of(image_format, Pillow.new("RGB", (64, 48)))
    assert decode(data, "x", LIMITS, (8, 6)).shape == (48, 64, 3)


def test_limits_hold_for_the_full_size():
    with pytest.raises(ImageTooLargeError, match="64 x 48 px"):
        decode(a_jpeg(64, 48), "x", Limits(max_side=63), (8, 6))


def test_truncated_jpeg_is_still_refused():
    data = a_jpeg(640, 480)
    with pytest.raises(UndecodableError):
        decode(data[: len(data) // 2] + b"\xff\xd9", "x", LIMITS, (80, 60))


def test_jpeg_that_only_opencv_decodes_keeps_its_full_size(monkeypatch):
    monkeypatch.setattr("agewell.workers.imaging.jpeg.pixels.decode", lambda *_: None)
    assert decode(a_jpeg(64, 48, 6), "x", LIMITS, (8, 6)).shape == (64, 48, 3)
