"""Thumbnails against Pillow, and of JPEGs decoded at a smaller scale."""

import io
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from agewell.shared.errors import BadJobError
from agewell.shared.settings import Settings
from agewell.workers.operations.context import JobContext
from agewell.workers.operations.declaration import ATTRIBUTE
from agewell.workers.operations.resize import resize
from agewell.workers.operations.thumbnail import thumbnail
from tests.oracles import orientations
from tests.oracles.resampling import by_pillow, plane_by_pillow, psnr, with_alpha

SETTINGS = Settings()
CONTEXT = JobContext(SETTINGS)
PHOTOS = Path(find_spec("sklearn").origin).parent / "datasets" / "images"  # 640 x 427 px


def an_image(*shape: int) -> np.ndarray:
    image = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    image.flags.writeable = False
    return image


def decoded_small(encoded: bytes, size: int, square: bool) -> np.ndarray:
    """Decode a JPEG at the smallest of libjpeg's scales that the declaration allows."""
    rows, columns, _, _ = simplejpeg.decode_jpeg_header(encoded)
    needs = getattr(thumbnail, ATTRIBUTE).needs
    width, height = needs((columns, rows), size=size, square=square, gravity="center")
    if columns < width or rows < height:  # simplejpeg lowers such a bound to the side
        return simplejpeg.decode_jpeg(encoded, "BGR")
    return simplejpeg.decode_jpeg(encoded, "BGR", min_width=width, min_height=height)


def of_file(encoded: bytes, image: np.ndarray, **options) -> np.ndarray:
    return thumbnail(image, context=JobContext(SETTINGS, files={"image": encoded}), **options)


@pytest.mark.parametrize("size", [40, 17, 1])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_it_agrees_with_pillow(size, channels):
    image = an_image(60, 90, *channels)
    expected = by_pillow(image, (size, max(1, (60 * size + 45) // 90)), "lanczos")
    found = thumbnail(image, size=size, context=CONTEXT)
    # Both round after each direction. A rounding of the first may change that of the second.
    assert np.abs(found.astype(int) - expected).max() <= 2


def test_alpha_is_premultiplied():
    image = an_image(60, 90, 4)
    colours, alpha = with_alpha(image, plane_by_pillow((30, 20), "lanczos"))
    found = thumbnail(image, size=30, context=CONTEXT)
    assert np.abs(found[..., 3] - np.clip(alpha, 0, 255)).max() <= 0.51  # one rounding
    assert np.abs(found[..., :3] - np.clip(colours, 0, 255)).max() <= 0.52


@settings(deadline=None)
@given(
    st.integers(1, 80),
    st.integers(1, 80),
    st.integers(1, 100),
    st.booleans(),
    st.sampled_from([(), (3,), (4,)]),
)
def test_the_size_is_that_of_resize(width, height, size, square, channels):
    image = an_image(height, width, *channels)
    found = thumbnail(image, size=size, square=square, context=CONTEXT)
    mode = "fill" if square else "fit"
    expected = resize(image, width=size, height=size, mode=mode, context=CONTEXT)
    assert found.shape == expected.shape
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous


@pytest.mark.parametrize("square", [True, False])
def test_a_smaller_image_stays_as_it_is(square):
    image = an_image(20, 30, 3)
    np.testing.assert_array_equal(thumbnail(image, size=30, square=square, context=CONTEXT), image)


def test_a_square_keeps_the_part_at_the_gravity():
    image = an_image(20, 60, 3)
    for gravity, start in [("west", 0), ("center", 20), ("east", 40)]:
        found = thumbnail(image, size=5, square=True, gravity=gravity, context=CONTEXT)
        expected = Pillow.fromarray(image).resize(
            (5, 5), Pillow.Resampling.LANCZOS, (start, 0, start + 20, 20)
        )
        assert np.abs(found.astype(int) - np.asarray(expected)).max() <= 2  # by rounding


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 50))
def test_a_jpeg_decoded_smaller_gives_the_size_of_the_whole(width, height, size):
    encoded = simplejpeg.encode_jpeg(np.ascontiguousarray(an_image(height, width, 3)), 90, "BGR")
    found = of_file(encoded, decoded_small(encoded, size, square=False), size=size)
    scale = min(Fraction(size, max(width, height)), Fraction(1))
    rounded = [max(1, int(side * scale + Fraction(1, 2))) for side in (height, width)]
    assert list(found.shape[:2]) == rounded


@pytest.mark.parametrize("photo", ["china.jpg", "flower.jpg"])
@pytest.mark.parametrize("size", [160, 107, 80, 40, 33])
@pytest.mark.parametrize("square", [True, False])
def test_a_jpeg_decoded_smaller_looks_the_same(photo, size, square):
    encoded = (PHOTOS / photo).read_bytes()
    whole, small = simplejpeg.decode_jpeg(encoded, "BGR"), decoded_small(encoded, size, square)
    assert small.shape[1] < whole.shape[1]
    found = of_file(encoded, small, size=size, square=square)
    expected = of_file(encoded, whole, size=size, square=square)
    # 44 dB are a mean error of 1.6 of 255. Pillow's `draft` reaches 44 to 53 here. If the parts of
    # pixels at the edges were counted as whole ones, it would be 29 to 37.
    assert psnr(found, expected) >= 43


def test_a_jpeg_decoded_smaller_agrees_with_pillows_draft():
    encoded = (PHOTOS / "china.jpg").read_bytes()
    found = of_file(encoded, decoded_small(encoded, 160, square=False), size=160)
    pillow = Pillow.open(io.BytesIO(encoded))
    pillow.thumbnail((160, 160), Pillow.Resampling.LANCZOS, reducing_gap=2)
    # The same file and kernel, and perhaps another scale of libjpeg.
    assert psnr(found[..., ::-1], np.asarray(pillow)) >= 43


def test_a_turned_jpeg_is_measured_upright():
    image = cv2.GaussianBlur(an_image(401, 101, 3), (0, 0), 3)  # as stored
    encoded = simplejpeg.encode_jpeg(image, 95, "BGR")
    block = orientations.exif(6)
    tagged = encoded[:2] + b"\xff\xe1" + (len(block) + 8).to_bytes(2, "big")
    tagged += b"Exif\0\0" + block + encoded[2:]
    small = simplejpeg.decode_jpeg(tagged, "BGR", min_height=201)  # half of it
    upright = cv2.rotate(small, cv2.ROTATE_90_CLOCKWISE)
    assert upright.shape[:2] == (51, 201)
    assert of_file(tagged, upright, size=100).shape[:2] == (25, 100)  # of 401 x 101, not 201 x 51


def test_an_image_made_by_a_step_before_stays_if_it_is_small():
    half = an_image(200, 300, 3)
    np.testing.assert_array_equal(thumbnail(half, size=400, context=CONTEXT), half)


@pytest.mark.parametrize("values", [{"size": 0}, {"size": 65_536}, {"gravity": "up"}])
def test_bad_parameters_are_refused(values):
    with pytest.raises(BadJobError):
        getattr(thumbnail, ATTRIBUTE).read_parameters(values)
