"""The operation blur against its formula in float64, Pillow and ImageMagick."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageFilter

from agewell.shared.errors import BadJobError, UnsupportedPixelsError
from agewell.workers.operations.blur import blur
from agewell.workers.operations.declaration import ATTRIBUTE
from tests.oracles.gaussian import blurred_channels, blurred_with_alpha
from tests.oracles.image_magick import convert, needs_image_magick

SMALL = [0.1, 0.3, 0.5, 1, 1.7, 4, 7.9]
LARGE = [8, 11.9, 12, 30, 99, 100, 500]


def noise(*shape: int, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def a_picture(height: int = 150, width: int = 211) -> np.ndarray:
    """Noise, a ramp, and hard edges of black and white, some of them at the border."""
    image = noise(height, width, 3)
    image[: height // 2, width // 3 :] = np.linspace(0, 255, width)[None, width // 3 :, None]
    image[height // 3 : height // 2, width // 4 : width // 2] = 255
    image[height // 5 : height // 3, : width // 3] = 0
    image[-1, width // 2 :] = 255
    image[:, -1] = 0
    return image


# The weights of bytes have 16 bits after the point in both directions together. That adds up to
# 0.02 to the rounding.
@pytest.mark.parametrize("sigma", SMALL)
def test_a_small_sigma_rounds_the_formula(sigma):
    image = a_picture()
    assert np.abs(blur(image, sigma=sigma) - blurred_channels(image, sigma)).max() <= 0.52


# A straight line between two points that are sigma / 4 apart is off by up to 1.7 at edges of
# black and white.
@pytest.mark.parametrize("sigma", LARGE)
def test_a_large_sigma_is_within_two_of_the_formula(sigma):
    image = a_picture()
    difference = np.abs(blur(image, sigma=sigma) - blurred_channels(image, sigma))
    assert difference.max() <= 2
    assert difference.mean() <= 0.5


@pytest.mark.parametrize("sigma", [0.5, 4, 8, 40])
def test_every_place_in_a_block_blurs_alike(sigma):
    """One bright line, moved by one pixel at a time."""
    for x in range(20, 40):
        image = np.zeros((3, 90), np.uint8)
        image[:, x] = 255
        assert np.abs(blur(image, sigma=sigma) - blurred_channels(image, sigma)).max() <= 1


# Pillow approximates the Gaussian by three boxes (Gwosdek and others, "Theoretical foundations of
# Gaussian convolution by extended box filtering", 2011), which differs by up to 1.5 % of the
# contrast, and it rounds each of them. It repeats the edges again for each box, so that pixels near
# an edge become others.
@pytest.mark.parametrize("sigma", [0.5, 1, 2, 4, 8, 12])
def test_it_agrees_with_pillow_away_from_the_edges(sigma):
    image = a_picture()
    expected = Pillow.fromarray(image).filter(ImageFilter.GaussianBlur(sigma))
    difference = np.abs(blur(image, sigma=sigma) - np.asarray(expected, int))
    margin = int(4 * sigma)
    inner = difference[margin:-margin, margin:-margin]
    assert inner.max() <= 6
    assert inner.mean() <= 1


# ImageMagick's edges repeat as well. Its -gaussian-blur is the formula, but slow. Its -blur takes
# a wider kernel if sigma is small. Both end a little earlier, which is the 0.1 of the tolerance.
def by_image_magick(image: np.ndarray, sigma: float) -> np.ndarray:
    return convert(image, "-gaussian-blur" if sigma < 5 else "-blur", f"0x{sigma}")


@needs_image_magick
@pytest.mark.parametrize("sigma", [0.5, 1, 2, 4, 7, 8, 20])
def test_it_agrees_with_image_magick(sigma):
    image = a_picture()
    tolerance = 0.62 if sigma < 8 else 2
    assert np.abs(blur(image, sigma=sigma) - by_image_magick(image, sigma)).max() <= tolerance


# A colour counts as much as its alpha.
@needs_image_magick
@pytest.mark.parametrize("sigma", [1, 4, 12])
def test_it_weights_by_alpha_as_image_magick_does(sigma):
    image = np.dstack([a_picture(), np.tile(np.arange(211, dtype=np.uint8), (150, 1))])
    expected = by_image_magick(image, sigma)
    difference = np.abs(blur(image, sigma=sigma) - expected)
    tolerance = 0.62 if sigma < 8 else 2
    assert difference[..., 3].max() <= tolerance
    assert (difference[..., :3] * expected[..., 3:] / 255).max() <= tolerance


@pytest.mark.parametrize("sigma", SMALL)
def test_colours_are_weighted_by_their_alpha(sigma):
    image = noise(60, 70, 4)
    image[10:40, 20:50, 3] = 0
    image[:, 55:, 3] = 255
    found = blur(image, sigma=sigma)
    colours, alpha = blurred_with_alpha(image, sigma)
    assert np.abs(found[..., 3] - alpha).max() <= 0.52
    # The weights beyond the end of the kernel count more where there is little alpha.
    visible = alpha >= 0.51
    difference = np.abs(found[..., :3] - colours)[visible].max(axis=-1)
    assert (difference - 0.5 / alpha[visible]).max() <= 0.52


@pytest.mark.parametrize("sigma", [8, 25])
def test_colours_are_weighted_by_their_alpha_on_a_reduced_image(sigma):
    image = noise(120, 140, 4)
    image[20:80, 40:100, 3] = 0
    found = blur(image, sigma=sigma)
    colours, alpha = blurred_with_alpha(image, sigma)
    difference = np.abs(found[..., :3] - colours) * alpha[..., None] / 255
    assert np.abs(found[..., 3] - alpha).max() <= 2
    assert difference.max() <= 2


@pytest.mark.parametrize("sigma", [0.5, 3, 10])
def test_the_colour_of_invisible_pixels_does_not_show(sigma):
    red = np.full((40, 40, 4), (0, 0, 255, 255), np.uint8)
    red[:, 20:] = (255, 255, 0, 0)
    found = blur(red, sigma=sigma)
    assert (found[found[..., 3] > 0][:, :3] == (0, 0, 255)).all()


@pytest.mark.parametrize("sigma", [*SMALL, *LARGE])
def test_an_opaque_alpha_stays_opaque_and_changes_no_colour(sigma):
    image = np.dstack([a_picture(60, 70), np.full((60, 70), 255, np.uint8)])
    found = blur(image, sigma=sigma)
    assert (found[..., 3] == 255).all()
    np.testing.assert_array_equal(found[..., :3], blur(image[..., :3].copy(), sigma=sigma))


@settings(deadline=None)
@given(st.floats(0.1, 500), st.integers(0, 255), st.integers(1, 255))
def test_an_even_image_stays_as_it_is(sigma, value, alpha):
    assert (blur(np.full((5, 40), value, np.uint8), sigma=sigma) == value).all()
    even = np.full((4, 9, 4), (value, 7, 255, alpha), np.uint8)
    np.testing.assert_array_equal(blur(even, sigma=sigma), even)


sides = st.integers(1, 70)


@settings(deadline=None)
@given(sides, sides, st.sampled_from([(), (3,), (4,)]), st.floats(0.1, 120))
def test_an_image_of_any_shape_is_blurred(height, width, depth, sigma):
    image = noise(height, width, *depth)
    kept = image.copy()
    image.flags.writeable = False
    found = blur(image, sigma=sigma)
    assert found.shape == image.shape
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(image, kept)
    if depth != (4,):
        tolerance = 0.52 if sigma < 8 else 2
        assert np.abs(found - blurred_channels(image, sigma)).max() <= tolerance


def test_strips_of_an_image_with_alpha_meet_without_a_seam():
    image = noise(600, 3, 4)
    colours, alpha = blurred_with_alpha(image, 3)
    found = blur(image, sigma=3)
    assert np.abs(found[..., 3] - alpha).max() <= 0.52
    assert np.abs(found[..., :3] - colours).max() <= 0.52


@pytest.mark.parametrize("sigma", [0, 0.09, 500.1, -1, float("nan"), float("inf"), "much"])
def test_a_sigma_outside_of_its_bounds_is_refused(sigma):
    with pytest.raises(BadJobError, match="sigma"):
        getattr(blur, ATTRIBUTE).read_parameters({"sigma": sigma})


def test_sixteen_bits_are_refused():
    with pytest.raises(UnsupportedPixelsError, match="uint16"):
        blur(np.zeros((2, 2, 3), np.uint16), sigma=1)
