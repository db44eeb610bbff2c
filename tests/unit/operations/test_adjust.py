"""The operation adjust against its formulas, Pillow and ImageMagick."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageEnhance

from agewell.shared.errors import BadJobError, UnsupportedPixelsError
from agewell.workers.operations.adjust import adjust
from agewell.workers.operations.declaration import ATTRIBUTE
from tests.oracles.adjusting import by_saturation, by_tone
from tests.oracles.image_magick import convert, needs_image_magick

ALL_VALUES = np.arange(256, dtype=np.uint8).reshape(16, 16)
FACTORS = [0, 0.25, 0.5, 0.9, 1, 1.1, 1.5, 2, 3, 10]


def an_image(*shape: int, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def assert_rounds(found: np.ndarray, exact: np.ndarray) -> None:
    """Check rounding to the nearest, or to either if halfway within float64's error."""
    assert np.abs(found - exact).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("brightness", FACTORS)
@pytest.mark.parametrize("contrast", FACTORS)
@pytest.mark.parametrize("gamma", [0.1, 0.45, 1, 2.2, 10])
def test_brightness_contrast_and_gamma_round_the_formula(brightness, contrast, gamma):
    found = adjust(ALL_VALUES, brightness=brightness, contrast=contrast, gamma=gamma)
    assert_rounds(found, by_tone(ALL_VALUES, brightness, contrast, gamma))


# OpenCV's matrix has 10 bits after the point, so each of three products is off by up to
# 255 / 2 / 1024. With the rounding that is less than 0.5 + 3 * 0.125 = 0.875.
@pytest.mark.parametrize("saturation", FACTORS)
@pytest.mark.parametrize("shape", [(64, 64, 3), (64, 64, 4), (1, 7, 3), (7, 1, 3)])
def test_saturation_is_within_one_of_the_formula(saturation, shape):
    image = an_image(*shape)
    found = adjust(image, saturation=saturation)[..., :3]
    assert np.abs(found - by_saturation(image[..., :3], saturation)).max() < 0.875


def test_saturation_comes_last():
    image = an_image(40, 50, 3)
    found = adjust(image, brightness=1.2, contrast=0.8, gamma=1.5, saturation=1.7)
    toned = np.floor(by_tone(image, 1.2, 0.8, 1.5) + 0.5)
    assert np.abs(found - by_saturation(toned, 1.7)).max() < 0.875


# Pillow cuts the digits after the point off, which is up to 1 below the exact value.
@pytest.mark.parametrize("factor", FACTORS)
def test_brightness_agrees_with_pillow_within_one(factor):
    image = an_image(40, 50, 3)
    expected = ImageEnhance.Brightness(Pillow.fromarray(image)).enhance(factor)
    assert np.abs(adjust(image, brightness=factor) - np.asarray(expected, int)).max() <= 1


# Pillow's contrast turns about the rounded mean luma. The image's is 128, half a step above ours.
@pytest.mark.parametrize("factor", FACTORS)
def test_contrast_agrees_with_pillow_on_an_image_of_middle_gray(factor):
    expected = ImageEnhance.Contrast(Pillow.fromarray(ALL_VALUES)).enhance(factor)
    found = adjust(ALL_VALUES, contrast=factor)
    assert np.abs(found - np.asarray(expected, int)).max() <= 1 + abs(factor - 1) / 2


# Pillow rounds the luma first, which is off by 0.5 and counts |1 - factor| times. It cuts the
# result off. The formula's own tolerance is below 1.
@pytest.mark.parametrize("factor", FACTORS)
def test_saturation_agrees_with_pillow(factor):
    image = an_image(40, 50, 3)
    expected = ImageEnhance.Color(Pillow.fromarray(image[..., ::-1].copy())).enhance(factor)
    found = adjust(image, saturation=factor)[..., ::-1]
    assert np.abs(found - np.asarray(expected, int)).max() <= 2 + abs(factor - 1) / 2


# ImageMagick rounds a table of 16 bits, so halves can differ: at most 1.
@needs_image_magick
@pytest.mark.parametrize("gamma", [0.1, 0.45, 0.8, 1.25, 2.2, 10])
def test_gamma_agrees_with_image_magick_within_one(gamma):
    expected = convert(ALL_VALUES, "-gamma", str(gamma))
    assert np.abs(adjust(ALL_VALUES, gamma=gamma) - expected.astype(int)).max() <= 1


@needs_image_magick
@pytest.mark.parametrize("factor", FACTORS)
def test_contrast_agrees_with_image_magick_within_one(factor):
    line = f"{factor},{0.5 - 0.5 * factor}"
    expected = convert(ALL_VALUES, "-function", "Polynomial", line)
    assert np.abs(adjust(ALL_VALUES, contrast=factor) - expected.astype(int)).max() <= 1


@pytest.mark.parametrize("shape", [(9, 8), (9, 8, 3), (9, 8, 4)])
def test_neutral_values_return_the_image_itself(shape):
    image = an_image(*shape)
    assert adjust(image) is image
    assert adjust(image, brightness=1, contrast=1, saturation=1, gamma=1) is image


def test_each_neutral_value_changes_nothing_bit_for_bit():
    gray = np.dstack([ALL_VALUES] * 3)
    for image in (an_image(1, 256, 3), an_image(40, 50, 4)):
        toned = adjust(image, brightness=1.3)
        np.testing.assert_array_equal(adjust(image, brightness=1.3, saturation=1), toned)
        np.testing.assert_array_equal(adjust(image, saturation=1 + 1e-12), image)
        np.testing.assert_array_equal(adjust(image, gamma=1 + 1e-12), image)
    for saturation in FACTORS:
        np.testing.assert_array_equal(adjust(gray, saturation=saturation), gray)


def test_a_low_contrast_brings_bright_highlights_back():
    bright = np.array([[200, 240]], np.uint8)
    found = adjust(bright, brightness=1.5, contrast=0.5)
    assert found.tolist() == [[214, 244]]  # (300 - 127.5) / 2 + 127.5 = 213.75


def test_gray_images_ignore_saturation():
    gray = an_image(9, 8)
    assert adjust(gray, saturation=0) is gray
    assert adjust(gray, saturation=3, gamma=2).shape == gray.shape


sides = st.integers(1, 33)
factors = st.sampled_from([0, 0.5, 1, 1.7])


@settings(deadline=None)
@given(sides, sides, st.sampled_from([(), (3,), (4,)]), factors, factors, st.booleans())
def test_any_image_keeps_its_shape_and_its_alpha(height, width, depth, tone, saturation, gamma):
    image = an_image(height, width, *depth)
    kept = image.copy()
    image.flags.writeable = False
    found = adjust(image, brightness=tone, saturation=saturation, gamma=2 if gamma else 1)
    assert found.shape == image.shape
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(image, kept)
    if depth == (4,):
        np.testing.assert_array_equal(found[..., 3], image[..., 3])
        opaque = image[..., :3].copy()
        expected = adjust(opaque, brightness=tone, saturation=saturation, gamma=2 if gamma else 1)
        np.testing.assert_array_equal(found[..., :3], expected)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "gamma"])
@pytest.mark.parametrize("value", [-0.01, 10.01, float("nan"), float("inf"), "much"])
def test_a_value_outside_of_its_bounds_is_refused_by_name(name, value):
    with pytest.raises(BadJobError, match=name):
        getattr(adjust, ATTRIBUTE).read_parameters({name: value})


def test_a_gamma_of_zero_is_refused():
    with pytest.raises(BadJobError, match="gamma"):
        getattr(adjust, ATTRIBUTE).read_parameters({"gamma": 0})


def test_sixteen_bits_are_refused():
    with pytest.raises(UnsupportedPixelsError, match="uint16"):
        adjust(np.zeros((2, 2, 3), np.uint16), gamma=2)
