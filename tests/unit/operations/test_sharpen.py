"""The operation sharpen against its formula in float64, Pillow and ImageMagick."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageFilter

from agewell.shared.errors import BadJobError, UnsupportedPixelsError
from agewell.workers.operations.declaration import ATTRIBUTE
from agewell.workers.operations.sharpen import sharpen
from tests.oracles.adjusting import sharpened
from tests.oracles.gaussian import blurred_channels, blurred_with_alpha
from tests.oracles.image_magick import convert, needs_image_magick


def noise(*shape: int, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def a_picture(height: int = 90, width: int = 120) -> np.ndarray:
    """Soft noise of middle values, so that little is cut off, with a bright square."""
    image = 100 + noise(height, width, 3) // 6
    image[30:60, 40:80] += 80
    return image


def allowed(amount: float, blur: float = 0.52) -> float:
    """The rounding of the result, and the blurred image's own error, which counts amount times."""
    return 0.501 + amount * blur


@pytest.mark.parametrize("amount", [0.1, 0.5, 1, 2.5, 10])
@pytest.mark.parametrize("sigma", [0.3, 1, 3])
@pytest.mark.parametrize("image", [a_picture(), noise(40, 50, 3), noise(40, 50)])
def test_it_adds_the_difference_from_blurred(amount, sigma, image):
    expected = sharpened(image, blurred_channels(image, sigma), amount)
    found = sharpen(image, amount=amount, sigma=sigma)
    assert np.abs(found - expected).max() <= allowed(amount)


def test_a_large_sigma_raises_local_contrast():
    image = a_picture()
    expected = sharpened(image, blurred_channels(image, 30), 0.5)
    found = sharpen(image, amount=0.5, sigma=30)
    assert np.abs(found - expected).max() <= allowed(0.5, blur=2)


@pytest.mark.parametrize("threshold", [1, 5, 20, 255])
def test_differences_up_to_the_threshold_stay(threshold):
    image = noise(60, 70, 3)
    blurred = blurred_channels(image, 1)
    expected = sharpened(image, blurred, 1.0)
    found = sharpen(image, threshold=threshold)
    # Differences this near to the threshold can be at either side of it, by the blur's rounding.
    small = np.abs(image - blurred) <= threshold - 0.52
    large = np.abs(image - blurred) > threshold + 0.52
    np.testing.assert_array_equal(found[small], image[small])
    assert np.abs(found - expected)[large].max(initial=0) <= allowed(1)


# Pillow blurs with boxes, which differs by up to 4.2 away from the edges, and cuts digits off.
@pytest.mark.parametrize(("amount", "threshold"), [(0.5, 0), (1.5, 0), (1, 10)])
@pytest.mark.parametrize("sigma", [1, 2])
def test_it_agrees_with_pillow_away_from_the_edges(amount, threshold, sigma):
    image = a_picture()
    mask = ImageFilter.UnsharpMask(sigma, int(100 * amount), threshold)
    difference = np.abs(
        sharpen(image, amount=amount, sigma=sigma, threshold=threshold)
        - np.asarray(Pillow.fromarray(image).filter(mask), int)
    )[8:-8, 8:-8]
    assert difference.mean() <= 1
    if not threshold:  # with one, pixels near it differ by all of amount * threshold
        assert difference.max() <= 1 + amount * 4.2


# ImageMagick's -unsharp takes the kernel of its -blur, which is wider: 0.8 of 255 at sigma 2, and
# 0.2 at sigma 4.
@needs_image_magick
@pytest.mark.parametrize("amount", [0.5, 1, 3])
@pytest.mark.parametrize(("sigma", "wider"), [(2, 0.8), (4, 0.2)])
def test_it_agrees_with_image_magick(amount, sigma, wider):
    image = a_picture()
    expected = convert(image, "-unsharp", f"0x{sigma}+{amount}+0")
    found = sharpen(image, amount=amount, sigma=sigma)
    assert np.abs(found - expected).max() <= allowed(amount, 0.52 + wider)


def test_colours_are_compared_with_visible_neighbours_only():
    image = np.dstack([a_picture(), np.full((90, 120), 255, np.uint8)])
    image[20:70, 50:100, 3] = 0
    image[20:70, 50:100, :3] = noise(50, 50, 3)
    blurred, _ = blurred_with_alpha(image, 1)
    visible = image[..., 3] > 0
    expected = sharpened(image[..., :3], blurred, 1.0)[visible]
    found = sharpen(image, amount=1, sigma=1)
    assert np.abs(found[..., :3][visible] - expected).max() <= allowed(1)
    np.testing.assert_array_equal(found[~visible], image[~visible])


def test_a_lonely_pixel_stays_as_it_is():
    image = np.zeros((40, 40, 4), np.uint8)
    image[20, 20] = (10, 100, 200, 255)
    for sigma in (1, 4, 12, 50):
        np.testing.assert_array_equal(sharpen(image, sigma=sigma), image)


@pytest.mark.parametrize("sigma", [1, 12])
def test_an_opaque_alpha_changes_no_colour(sigma):
    image = np.dstack([a_picture(), np.full((90, 120), 255, np.uint8)])
    found = sharpen(image, sigma=sigma)
    np.testing.assert_array_equal(found[..., :3], sharpen(image[..., :3].copy(), sigma=sigma))
    assert (found[..., 3] == 255).all()


def test_an_amount_of_zero_returns_the_image_itself():
    image = noise(9, 8, 4)
    assert sharpen(image, amount=0) is image


@settings(deadline=None)
@given(st.integers(0, 255), st.floats(0, 10), st.floats(0.1, 500))
def test_an_even_image_stays_as_it_is(value, amount, sigma):
    image = np.full((5, 9, 3), value, np.uint8)
    np.testing.assert_array_equal(sharpen(image, amount=amount, sigma=sigma), image)


sides = st.integers(1, 40)


@settings(deadline=None)
@given(sides, sides, st.sampled_from([(), (3,), (4,)]), st.floats(0.1, 20), st.integers(0, 9))
def test_an_image_of_any_shape_is_sharpened(height, width, depth, sigma, threshold):
    image = noise(height, width, *depth)
    kept = image.copy()
    image.flags.writeable = False
    found = sharpen(image, sigma=sigma, threshold=threshold)
    assert found.shape == image.shape
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(image, kept)
    if depth == (4,):
        np.testing.assert_array_equal(found[..., 3], image[..., 3])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("amount", -0.1),
        ("amount", 10.1),
        ("amount", float("nan")),
        ("sigma", 0),
        ("sigma", 501),
        ("threshold", -1),
        ("threshold", 256),
        ("threshold", 1.5),
    ],
)
def test_a_value_outside_of_its_bounds_is_refused_by_name(name, value):
    with pytest.raises(BadJobError, match=name):
        getattr(sharpen, ATTRIBUTE).read_parameters({name: value})


def test_sixteen_bits_are_refused():
    with pytest.raises(UnsupportedPixelsError, match="uint16"):
        sharpen(np.zeros((2, 2, 3), np.uint16))
