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


def test_colours_are_multiplied_by_their_alpha():
    image = an_image(50, 60, 4)
    factors = np.dstack([image[..., 3]] * 3 + [np.full((50, 60), 255)]) / 255
    # float32 has 24 bits: three roundings of numbers up to 255 err by less than 1e-4.
    np.testing.assert_allclose(premultiply(image), image * factors, rtol=0, atol=1e-4)


def test_every_colour_of_every_alpha_survives():
    colour, alpha = np.meshgrid(np.arange(256), np.arange(256))
    image = np.dstack([colour, 255 - colour, colour // 2, alpha]).astype(np.uint8)
    back = unpremultiply(premultiply(image))
    np.testing.assert_array_equal(back[1:], image[1:])
    assert not back[0].any()  # transparent pixels have no colour


@given(st.floats(-50, 305, width=32), st.floats(-50, 305, width=32))
def test_quotients_are_rounded_and_clipped(colour, alpha):
    pixel = np.array([[[colour, 0, alpha, alpha]]], np.float32)
    found = unpremultiply(pixel)[0, 0].astype(float)
    if alpha < 0.5:
        assert not found.any()
        return
    expected = np.clip([colour * 255 / alpha, 0, 255, alpha], 0, 255)
    # The quotient is one of float32, so a tie may fall to either side.
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
