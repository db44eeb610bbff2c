"""Alpha blending against its formula in float64."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agewell.shared.errors import ParameterError, ShapeError, UnsupportedPixelsError
from agewell.workers.operations.alpha_blend import alpha_blend


def an_image(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def by_formula(foreground, background, weight) -> np.ndarray:
    """a * fg + (1 - a) * bg in float64, unrounded, for images of three channels."""
    weight = np.broadcast_to(weight, foreground.shape[:2])[..., None]
    return weight * foreground.astype(float) + (1 - weight) * background.astype(float)


def assert_rounds(found: np.ndarray, exact: np.ndarray) -> None:
    """Check rounding to the nearest, or to either if halfway within float64's error."""
    halfway = np.abs(exact % 1 - 0.5) < 1e-9
    np.testing.assert_array_equal(found[~halfway], np.rint(exact[~halfway]))
    assert np.abs(found - exact).max() <= 0.5 + 1e-9


FG, BG = an_image(1, 40, 50, 3), an_image(2, 40, 50, 3)
MASK, OWN = an_image(3, 40, 50), an_image(4, 40, 50)


@pytest.mark.parametrize("alpha", [0, 1, 0.5, 0.25, 0.3, 0.1, 1 / 3, 0.999, 1e-12, 1 / 255])
def test_an_even_alpha_gives_the_rounded_formula(alpha):
    assert_rounds(alpha_blend(FG, BG, alpha=alpha), by_formula(FG, BG, alpha))


@pytest.mark.parametrize("alpha", [None, 1, 0.5, 0.3, 0])
@pytest.mark.parametrize("with_mask", [True, False])
@pytest.mark.parametrize("with_own_alpha", [True, False])
def test_alpha_mask_and_own_alpha_multiply(alpha, with_mask, with_own_alpha):
    if alpha is None and not with_mask and not with_own_alpha:
        return
    foreground = np.dstack([FG, OWN]) if with_own_alpha else FG
    weight = np.full(MASK.shape, 1.0 if alpha is None else alpha, float)
    weight *= MASK / 255 if with_mask else 1
    weight *= OWN / 255 if with_own_alpha else 1
    found = alpha_blend(foreground, BG, alpha=alpha, mask=MASK if with_mask else None)
    assert_rounds(found, by_formula(FG, BG, weight))


def test_every_combination_of_a_weight_and_two_values_is_rounded_right():
    fg, bg = np.meshgrid(np.arange(256), np.arange(256))
    foreground, background = (np.dstack([plane] * 3).astype(np.uint8) for plane in (fg, bg))
    for weight in range(256):
        mask = np.full((256, 256), weight, np.uint8)
        mask[0, 0] = 255  # both images are 0 there; and a mask of ones alone would be spread
        found = alpha_blend(foreground, background, mask=mask)[..., 0]
        np.testing.assert_array_equal(found, np.rint((weight * fg + (255 - weight) * bg) / 255))


def test_halves_are_rounded_upwards():
    black, white = np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8)
    assert alpha_blend(white, black, alpha=0.5)[0, 0, 0] == 128
    assert alpha_blend(black, white, alpha=0.5)[0, 0, 0] == 128
    everywhere = np.full((1, 1), 255, np.uint8)
    assert alpha_blend(white, black, alpha=0.5, mask=everywhere)[0, 0, 0] == 128


def test_it_agrees_with_opencv_within_one():
    expected = cv2.addWeighted(FG, 0.3, BG, 0.7, 0)
    assert np.abs(alpha_blend(FG, BG, alpha=0.3).astype(int) - expected).max() <= 1


def test_alpha_one_shows_the_foreground_and_zero_the_background():
    np.testing.assert_array_equal(alpha_blend(FG, BG, alpha=1), FG)
    np.testing.assert_array_equal(alpha_blend(FG, BG, alpha=0), BG)
    np.testing.assert_array_equal(alpha_blend(FG, BG, mask=np.full((40, 50), 255, np.uint8)), FG)
    np.testing.assert_array_equal(alpha_blend(FG, BG, mask=np.zeros((40, 50), np.uint8)), BG)


sides = st.integers(1, 40)
shifts = st.integers(-45, 45)


@settings(deadline=None)
@given(st.tuples(sides, sides), st.tuples(sides, sides), st.tuples(shifts, shifts), st.data())
def test_a_foreground_anywhere_is_cut_at_the_edges(fg_size, bg_size, offset, data):
    foreground, background = an_image(5, *fg_size, 3), an_image(6, *bg_size, 3)
    alpha = data.draw(st.none() | st.floats(0, 1))
    mask = an_image(7, *fg_size) if alpha is None or data.draw(st.booleans()) else None
    weight = (1.0 if alpha is None else alpha) * (1 if mask is None else mask / 255)
    if mask is not None and mask.max() == 1:
        weight *= 255
    # Place the foreground on a canvas that is large enough for any offset, then cut that.
    canvas, weights = np.zeros((140, 140, 3)), np.zeros((140, 140))
    x, y = offset[0] + 50, offset[1] + 50
    canvas[y : y + fg_size[0], x : x + fg_size[1]] = foreground
    weights[y : y + fg_size[0], x : x + fg_size[1]] = weight
    covered = np.zeros((140, 140), bool)
    covered[y : y + fg_size[0], x : x + fg_size[1]] = True
    view = (slice(50, 50 + bg_size[0]), slice(50, 50 + bg_size[1]))
    if not covered[view].any():
        with pytest.raises(ShapeError, match="outside"):
            alpha_blend(foreground, background, alpha=alpha, mask=mask, offset=offset)
        return
    found = alpha_blend(foreground, background, alpha=alpha, mask=mask, offset=offset)
    assert_rounds(found, by_formula(canvas[view], background, weights[view]))
    np.testing.assert_array_equal(found[~covered[view]], background[~covered[view]])


def test_gray_images_are_taken_as_colours():
    gray = an_image(8, 40, 50)
    repeated = np.dstack([gray] * 3)
    np.testing.assert_array_equal(
        alpha_blend(gray, BG, alpha=0.3), alpha_blend(repeated, BG, alpha=0.3)
    )
    np.testing.assert_array_equal(
        alpha_blend(FG, gray, alpha=0.3), alpha_blend(FG, repeated, alpha=0.3)
    )


def test_a_mask_of_zeros_and_ones_selects():
    bits = MASK % 2
    expected = np.where(bits[..., None] == 1, FG, BG)
    np.testing.assert_array_equal(alpha_blend(FG, BG, mask=bits), expected)


def test_the_images_given_are_not_written_to():
    images = [FG.copy(), BG.copy(), MASK.copy(), np.dstack([FG, OWN])]
    for image in images:
        image.flags.writeable = False
    foreground, background, mask, with_alpha = images
    alpha_blend(foreground, background, alpha=0.3)
    alpha_blend(foreground, background, mask=mask, offset=(3, -3))
    result = alpha_blend(with_alpha, background, mask=mask)
    assert result.flags.writeable
    np.testing.assert_array_equal(background, BG)


@pytest.mark.parametrize("alpha", [-0.01, 1.01, float("nan"), float("inf")])
def test_an_alpha_outside_of_its_range_is_refused(alpha):
    with pytest.raises(ParameterError, match=f"alpha is {alpha}; allowed: 0..1"):
        alpha_blend(FG, BG, alpha=alpha)


def test_blend_without_weight_names_the_missing_input():
    with pytest.raises(ParameterError, match=r"alpha is not given.*mask.*alpha channel"):
        alpha_blend(FG, BG)


def test_a_mask_of_another_size_is_refused_with_both_sizes():
    with pytest.raises(ShapeError, match=r"mask is 49 x 40 px, the foreground 50 x 40 px"):
        alpha_blend(FG, BG, mask=MASK[:, 1:])


def test_a_foreground_off_the_background_is_refused_with_the_numbers():
    with pytest.raises(ShapeError, match=r"50 x 40 px at x=50, y=-3,.*background, 50 x 40 px"):
        alpha_blend(FG, BG, alpha=1, offset=(50, -3))


def test_a_background_or_mask_with_alpha_is_refused():
    with pytest.raises(UnsupportedPixelsError, match=r"background.*flatten it first"):
        alpha_blend(FG, np.dstack([BG, OWN]), alpha=1)
    with pytest.raises(UnsupportedPixelsError, match=r"mask.*alpha"):
        alpha_blend(FG, BG, mask=np.dstack([FG, OWN]))
