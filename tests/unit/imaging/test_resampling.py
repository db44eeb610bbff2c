"""Resampling against Pillow, and areas against the formula of the covered area."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from agewell.workers.imaging.kernels import LANCZOS, TRIANGLE, resample_by
from agewell.workers.imaging.resampling import resample
from tests.oracles.resampling import by_coverage, by_pillow, plane_by_pillow, with_alpha

KERNELS = {"lanczos": LANCZOS, "linear": TRIANGLE}
SIZES = [
    (23, 11),  # about half
    (5, 3),
    (1, 1),
    (97, 71),  # about double
    (200, 3),  # wider and lower
    (3, 200),
    (47, 10),  # one side stays
    (47, 90),
]


def an_image(*shape: int) -> np.ndarray:
    image = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    image.flags.writeable = False
    return image


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    return np.abs(found.astype(float) - expected).max()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [(), (3,)])
def test_lanczos_agrees_with_pillow(size, channels):
    image = an_image(37, 47, *channels)
    # Pillow's weights are whole numbers, ours are float32. So single roundings differ, and the
    # second direction may carry one on.
    assert difference(resample(image, size, "lanczos"), by_pillow(image, size, "lanczos")) <= 2


@pytest.mark.parametrize("size", SIZES)
def test_linear_agrees_with_pillow(size):
    image = an_image(37, 47, 3)
    # Enlarging by OpenCV rounds once, Pillow twice.
    assert difference(resample(image, size, "linear"), by_pillow(image, size, "linear")) <= 2


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [(), (3,)])
def test_area_is_the_mean_of_the_covered_area(size, channels):
    image = an_image(37, 47, *channels)
    # One rounding. To enlarge, OpenCV's weights have 11 bits, and one direction may come first.
    allowed = 0.51 if size[0] <= 47 and size[1] <= 37 else 1.2
    assert difference(resample(image, size, "area"), by_coverage(image, size)) <= allowed


@pytest.mark.parametrize("size", [(23, 11), (97, 71), (200, 3), (1, 1)])
def test_nearest_copies_the_pixel_at_the_centre(size):
    image = an_image(37, 47, 4)
    # No centre of these sizes falls between two pixels.
    columns, rows = (
        ((2 * np.arange(wanted) + 1) * given) // (2 * wanted)
        for given, wanted in zip((47, 37), size, strict=True)
    )
    np.testing.assert_array_equal(resample(image, size, "nearest"), image[np.ix_(rows, columns)])


@pytest.mark.parametrize("size", [(23, 11), (97, 71), (200, 3)])
def test_auto_reduces_by_area_and_enlarges_by_lanczos(size):
    image = an_image(37, 47, 3)
    smaller = min(size[0], 47), min(size[1], 37)
    expected = resample(resample(image, smaller, "area"), size, "lanczos")
    np.testing.assert_array_equal(resample(image, size), expected)


@pytest.mark.parametrize("by", ["lanczos", "linear"])
@pytest.mark.parametrize("size", SIZES)
def test_alpha_is_premultiplied(by, size):
    image = an_image(37, 47, 4)
    colours, alpha = with_alpha(image, plane_by_pillow(size, by))
    assert_rounds(resample(image, size, by), colours, alpha)


@pytest.mark.parametrize("size", [(23, 11), (5, 3), (1, 1), (47, 10)])
def test_the_alpha_of_areas_is_premultiplied(size):
    image = an_image(37, 47, 4)
    colours, alpha = with_alpha(image, lambda plane: by_coverage(plane, size))
    assert_rounds(resample(image, size, "area"), colours, alpha)


def assert_rounds(found: np.ndarray, colours: np.ndarray, alpha: np.ndarray) -> None:
    """Check rounding, with an error of 0.01 for float32."""
    assert difference(found[..., 3], np.clip(alpha, 0, 255)) <= 0.51
    visible = alpha >= 1  # float32's error of a colour grows as alpha falls
    assert difference(found[visible, :3], np.clip(colours, 0, 255)[visible]) <= 0.52
    assert not found[alpha < 0.49].any()


def test_a_transparent_black_border_does_not_darken_a_logo():
    logo = np.zeros((40, 40, 4), np.uint8)
    logo[10:30, 10:30] = 200, 150, 100, 255
    small = resample(logo, (7, 7))
    visible = small[..., 3] > 0
    np.testing.assert_array_equal(small[visible, :3] - np.array([200, 150, 100]), 0)
    assert 0 < small[1, 3, 3] < 255


@pytest.mark.parametrize("by", ["auto", "area", "lanczos", "linear", "nearest"])
@pytest.mark.parametrize("size", SIZES)
def test_an_even_image_stays_even_and_opaque(by, size):
    image = np.full((37, 47, 4), (10, 20, 30, 255), np.uint8)
    assert (resample(image, size, by) == (10, 20, 30, 255)).all()


def test_the_same_size_changes_nothing():
    image = an_image(5, 6, 4)
    assert resample(image, (6, 5)) is image
    assert resample(image[:, 1:4], (3, 5)).flags.c_contiguous


sides = st.integers(1, 40)
shapes = st.sampled_from([(), (3,), (4,)])


@settings(deadline=None)
@given(
    sides, sides, sides, sides, shapes, st.sampled_from(["auto", "lanczos", "linear", "nearest"])
)
def test_any_size_becomes_any_other(width, height, new_width, new_height, channels, by):
    image = an_image(height, width, *channels)
    found = resample(image, (new_width, new_height), by)
    assert found.shape == (new_height, new_width, *channels)
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous


@settings(deadline=None)
@given(sides, sides, sides, sides, st.sampled_from(sorted(KERNELS)))
def test_kernels_agree_with_pillow_in_float32(width, height, new_width, new_height, by):
    image = an_image(height, width).astype(np.float32)
    size = new_width, new_height
    expected = plane_by_pillow(size, by)(image)
    # 24 bits of numbers up to 255, and weights whose sizes add up to 1.7 at most, twice.
    assert difference(resample_by(KERNELS[by], image, size), expected) <= 1e-3


@settings(deadline=None)
@given(sides, sides, sides, sides, st.data())
def test_a_box_with_parts_of_pixels_agrees_with_pillow(width, height, new_width, new_height, data):
    image = an_image(height, width).astype(np.float32)
    left, top = data.draw(st.floats(0, width - 0.5)), data.draw(st.floats(0, height - 0.5))
    right = data.draw(st.floats(left + 0.5, width))
    bottom = data.draw(st.floats(top + 0.5, height))
    size, box = (new_width, new_height), (left, top, right - left, bottom - top)
    expected = Pillow.fromarray(image, "F").resize(
        size, Pillow.Resampling.LANCZOS, (left, top, right, bottom)
    )
    # Pillow keeps a box in float32: its edges err by 4e-6 px, times a step of 255, twice.
    assert difference(resample_by(LANCZOS, image, size, box), np.asarray(expected)) <= 2e-2
