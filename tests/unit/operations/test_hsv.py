"""The HSV operation against OpenCV itself and against the formula of the standard library."""

import colorsys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agewell.shared.errors import UnsupportedPixelsError
from agewell.workers.operations.hsv import hsv

CODES = {False: cv2.COLOR_BGR2HSV, True: cv2.COLOR_BGR2HSV_FULL}


def an_image(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("full_range", [False, True])
def test_agrees_with_opencv(full_range):
    image = an_image(37, 53, 3)
    expected = cv2.cvtColor(image, CODES[full_range])
    np.testing.assert_array_equal(hsv(image, full_range=full_range), expected)


@pytest.mark.parametrize(
    ("bgr", "expected"),
    [
        ((0, 0, 255), (0, 255, 255)),  # red: 0 degrees
        ((0, 255, 255), (30, 255, 255)),  # yellow: 60
        ((0, 255, 0), (60, 255, 255)),  # green: 120
        ((255, 255, 0), (90, 255, 255)),  # cyan: 180
        ((255, 0, 0), (120, 255, 255)),  # blue: 240
        ((255, 0, 255), (150, 255, 255)),  # magenta: 300
        ((0, 0, 0), (0, 0, 0)),
        ((255, 255, 255), (0, 0, 255)),
        ((128, 128, 128), (0, 0, 128)),
    ],
)
def test_the_hue_counts_in_steps_of_two_degrees(bgr, expected):
    assert tuple(hsv(np.array([[bgr]], np.uint8))[0, 0]) == expected


@settings(deadline=None)
@given(st.tuples(*[st.integers(0, 255)] * 3), st.booleans())
def test_it_agrees_with_the_standard_formula_within_a_rounding(bgr, full_range):
    b, g, r = bgr
    hue, saturation, value = colorsys.rgb_to_hsv(r / 255, g / 255, b / 255)
    turn = 256 if full_range else 180
    found = hsv(np.array([[bgr]], np.uint8), full_range=full_range)[0, 0].astype(float)
    distance = abs(found[0] - hue * turn)
    assert min(distance, turn - distance) <= 1
    assert abs(found[1] - saturation * 255) <= 1
    assert found[2] == pytest.approx(value * 255)


@pytest.mark.parametrize(("full_range", "highest"), [(False, 179), (True, 255)])
def test_the_hue_stays_within_its_range(full_range, highest):
    assert hsv(an_image(300, 300, 3), full_range=full_range)[..., 0].max() <= highest


def test_gray_has_neither_hue_nor_saturation():
    gray = an_image(9, 8)
    expected = np.dstack([np.zeros_like(gray), np.zeros_like(gray), gray])
    np.testing.assert_array_equal(hsv(gray), expected)


def test_alpha_stays_the_fourth_channel():
    image = an_image(9, 8, 4)
    converted = hsv(image)
    np.testing.assert_array_equal(converted[..., 3], image[..., 3])
    np.testing.assert_array_equal(converted[..., :3], hsv(image[..., :3].copy()))


def test_the_image_given_is_not_written_to():
    for shape in [(9, 8), (9, 8, 3), (9, 8, 4)]:
        image = an_image(*shape)
        image.flags.writeable = False
        hsv(image)
        np.testing.assert_array_equal(image, an_image(*shape))


def test_sixteen_bits_are_refused():
    with pytest.raises(UnsupportedPixelsError, match="uint16"):
        hsv(np.zeros((2, 2, 3), np.uint16))
