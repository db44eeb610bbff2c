"""The operation flatten against its formula, Pillow and ImageMagick."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from agewell.shared.errors import BadJobError, UnsupportedPixelsError
from agewell.workers.operations.declaration import ATTRIBUTE
from agewell.workers.operations.flatten import flatten
from tests.oracles.compositing import over
from tests.oracles.image_magick import convert, needs_image_magick

COLOURS = {"#ffffff": (255, 255, 255), "#000000": (0, 0, 0), "#0A80f1": (0xF1, 0x80, 0x0A)}


def an_image(*shape: int, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def behind(image: np.ndarray, bgr: tuple[int, int, int]) -> np.ndarray:
    return np.full((*image.shape[:2], 3), bgr, np.uint8)


@pytest.mark.parametrize("text", COLOURS)
def test_every_value_and_alpha_is_rounded_right(text):
    value, alpha = np.meshgrid(np.arange(256), np.arange(256))
    image = np.dstack([value, value, value, alpha]).astype(np.uint8)
    weight = alpha[..., None]
    # A multiple of 1 / 255 is never halfway between two whole numbers, so nothing is left open.
    expected = np.rint((weight * value[..., None] + (255 - weight) * COLOURS[text]) / 255)
    np.testing.assert_array_equal(flatten(image, background=text), expected)


def test_the_default_background_is_white():
    image = an_image(9, 8, 4)
    np.testing.assert_array_equal(flatten(image), flatten(image, background="#ffffff"))
    image[..., 3] = 0
    assert (flatten(image) == 255).all()


# Pillow composites with whole numbers, which rounds twice.
@pytest.mark.parametrize("text", COLOURS)
def test_it_agrees_with_pillow_within_one(text):
    image = an_image(40, 50, 4)
    rgba = Pillow.fromarray(image[..., [2, 1, 0, 3]])
    below = Pillow.new("RGBA", rgba.size, text)
    expected = np.asarray(Pillow.alpha_composite(below, rgba).convert("RGB"), int)[..., ::-1]
    assert np.abs(flatten(image, background=text) - expected).max() <= 1


# ImageMagick's result has 16 bits, so only our rounding is left.
@needs_image_magick
@pytest.mark.parametrize("text", COLOURS)
def test_it_agrees_with_image_magick(text):
    image = an_image(40, 50, 4)
    expected = convert(image, "-background", text, "-flatten")[..., :3]
    assert np.abs(flatten(image, background=text) - expected).max() <= 0.51


@pytest.mark.parametrize("shape", [(9, 8), (9, 8, 3)])
def test_an_image_without_alpha_is_returned_as_it_is(shape):
    image = an_image(*shape)
    assert flatten(image, background="#123456") is image


def test_an_opaque_image_keeps_its_colours():
    image = an_image(9, 8, 4)
    image[..., 3] = 255
    np.testing.assert_array_equal(flatten(image, background="#123456"), image[..., :3])


sides = st.integers(1, 40)


@settings(deadline=None)
@given(sides, sides, st.tuples(*[st.integers(0, 255)] * 3))
def test_an_image_of_any_size_and_colour_rounds_the_formula(height, width, bgr):
    image = an_image(height, width, 4)
    kept = image.copy()
    image.flags.writeable = False
    blue, green, red = bgr
    found = flatten(image, background=f"#{red:02x}{green:02x}{blue:02x}")
    expected, alpha = over(image, behind(image, bgr))
    assert np.abs(found - expected).max() <= 0.5
    assert (alpha > 254.9).all()
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(image, kept)


@pytest.mark.parametrize("text", ["white", "#fff", "#ffffff80", "transparent", "", 7])
def test_a_background_that_is_no_opaque_colour_is_refused(text):
    with pytest.raises(BadJobError, match="background"):
        getattr(flatten, ATTRIBUTE).read_parameters({"background": text})


def test_sixteen_bits_are_refused():
    with pytest.raises(UnsupportedPixelsError, match="uint16"):
        flatten(np.zeros((2, 2, 4), np.uint16))
