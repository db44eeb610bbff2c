"""Gray images against the formula of Rec. 601 and against Pillow."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from agewell.workers.operations.grayscale import grayscale


def an_image(*shape: int) -> np.ndarray:
    image = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    image.flags.writeable = False
    return image


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_luma_is_the_rounded_formula(blue, green, red):
    found = grayscale(np.array([[[blue, green, red]]], np.uint8))
    # OpenCV's weights have 15 bits, so a value close to a half may fall to the other side.
    assert abs(found[0, 0] - (0.114 * blue + 0.587 * green + 0.299 * red)) <= 0.51


def test_it_agrees_with_pillow():
    image = an_image(200, 300, 3)
    expected = np.asarray(Pillow.fromarray(image[..., ::-1]).convert("L"))
    assert np.abs(grayscale(image).astype(int) - expected).max() <= 1  # by rounding


def test_alpha_stays_and_the_colours_are_equal():
    image = an_image(9, 8, 4)
    found = grayscale(image)
    luma = grayscale(image[..., :3].copy())
    np.testing.assert_array_equal(found, np.dstack([luma, luma, luma, image[..., 3]]))
    assert found.flags.c_contiguous


def test_gray_stays_as_it_is():
    image = an_image(9, 8)
    assert grayscale(image) is image


@given(st.integers(1, 9), st.integers(1, 9))
def test_any_size_becomes_one_channel(width, height):
    found = grayscale(an_image(height, width, 3))
    assert found.shape == (height, width)
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
