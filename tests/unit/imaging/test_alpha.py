"""Premultiplied alpha against exact products and quotients."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agewell.workers.imaging.alpha import (
    is_opaque,
    premultiply,
    unpremultiply,
    with_premultiplied,
)


def an_image(*shape: int) -> np.ndarray:
    image = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    image.flags.writeable = False
    return image


def test_products_are_exact():
    image = an_image(50, 60, 4)
    factors = np.dstack([image[..., 3]] * 3 + [np.full((50, 60), 255)])
    np.testing.assert_array_equal(premultiply(image), image.astype(int) * factors)


def test_every_colour_of_every_alpha_survives():
    colour, alpha = np.meshgrid(np.arange(256), np.arange(256))
    image = np.dstack([colour, 255 - colour, colour // 2, alpha]).astype(np.uint8)
    back = unpremultiply(premultiply(image))
    np.testing.assert_array_equal(back[1:], image[1:])
    assert not back[0].any()  # transparent pixels have no colour


@given(st.integers(0, 65_025), st.integers(1, 65_025))
def test_quotients_are_rounded_and_bounded(colour, alpha):
    pixel = np.array([[[colour, 0, alpha, alpha]]], np.uint16)
    found = unpremultiply(pixel)[0, 0].astype(float)
    # OpenCV divides in float32, so a tie may fall to either side.
    expected = np.array([min(colour * 255 / alpha, 255), 0, 255, alpha / 255])
    assert np.abs(found - expected).max() <= 0.5 + 1e-4


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 3)])
def test_an_image_without_alpha_is_opaque(shape):
    assert is_opaque(an_image(*shape))


def test_one_transparent_pixel_is_enough():
    image = np.array(an_image(30, 40, 4))
    image[..., 3] = 255
    assert is_opaque(image)
    image[29, 39, 3] = 254
    assert not is_opaque(image)


def test_an_opaque_image_is_changed_as_it_is():
    for image in (an_image(3, 4), an_image(3, 4, 3), an_image(3, 4, 4) | np.uint8(255)):
        assert with_premultiplied(image, lambda given: given) is image


def test_a_transparent_image_is_changed_in_its_premultiplied_form():
    image = an_image(3, 4, 4)
    seen = []
    with_premultiplied(image, lambda given: seen.append(given) or given)
    np.testing.assert_array_equal(seen[0], premultiply(image))
