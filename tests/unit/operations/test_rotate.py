"""Rotation against Pillow, numpy and the formula of cubic convolution in float64."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from agewell.shared.errors import BadJobError, ImageTooLargeError, ParameterError
from agewell.shared.settings import Settings
from agewell.workers.operations.context import JobContext
from agewell.workers.operations.declaration import ATTRIBUTE
from agewell.workers.operations.rotate import rotate
from tests.oracles.rotation import rotated

CONTEXT = JobContext(Settings())
CHANNELS = [(), (3,), (4,)]
ANGLES = [0.25, 7, -33.3, 45, 100, 180.5, 271, 359.9]


def an_image(*shape: int) -> np.ndarray:
    image = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    image.flags.writeable = False
    return image


def turned(image: np.ndarray, angle: float, **options) -> np.ndarray:
    return rotate(image, angle=angle, context=CONTEXT, **options)


@given(
    st.integers(1, 9), st.integers(1, 9), st.sampled_from(CHANNELS), st.sampled_from(range(-4, 5))
)
def test_right_angles_only_move_pixels(width, height, channels, quarters):
    image = an_image(height, width, *channels)
    found = turned(image, 90 * quarters)
    np.testing.assert_array_equal(found, np.rot90(image, -quarters))
    assert found.flags.c_contiguous


def test_an_angle_is_clockwise():
    np.testing.assert_array_equal(turned(np.array([[1, 2, 3]], np.uint8), 90), [[1], [2], [3]])


@pytest.mark.parametrize("size", [(4, 8), (5, 9), (8, 4), (5, 8), (8, 5), (4, 4), (5, 5)])
@pytest.mark.parametrize("angle", [90, 270])
def test_a_right_angle_in_the_same_size_cuts_and_fills(size, angle):
    image = an_image(*size)
    height, width = size
    upright = np.rot90(image, -angle // 90)
    # Centre the turned image. An odd pixel more goes to the right and the bottom of the image, or
    # is cut from there.
    expected = np.full((40, 40), 7, np.uint8)
    top, left = 20 + (height - width) // 2, 20 + (width - height) // 2
    expected[top : top + width, left : left + height] = upright
    expected = expected[20 : 20 + height, 20 : 20 + width]
    found = turned(image, angle, expand=False, background="#070707")
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize("expand", [True, False])
@pytest.mark.parametrize("channels", CHANNELS[:2])
def test_other_angles_are_cubic_convolution(angle, expand, channels):
    image = an_image(37, 52, *channels)
    found = turned(image, angle, expand=expand, background="#404040")
    size = found.shape[1], found.shape[0]
    assert size == (52, 37) or expand
    planes = image.reshape(37, 52, -1).transpose(2, 0, 1)
    exact = np.dstack([rotated(plane, angle, size, 0x40) for plane in planes])
    # Rounding, and OpenCV's places in float32: an error of 4e-5 px times a step of 255.
    error = found.reshape(exact.shape) - np.clip(exact, 0, 255)
    assert np.abs(error).max() <= 0.5 + 0.05


@pytest.mark.parametrize("angle", ANGLES)
def test_it_agrees_with_pillow_in_the_middle_of_a_smooth_image(angle):
    image = cv2.GaussianBlur(an_image(101, 141, 3), (0, 0), 4)
    found = turned(image, angle, expand=False)
    # Pillow turns counterclockwise. Its cubic has another free number, which matters little here.
    expected = Pillow.fromarray(image).rotate(-angle, Pillow.Resampling.BICUBIC)
    rows, columns = np.mgrid[:101, :141]
    middle = np.hypot(rows - 50, columns - 70) < 45
    difference = found.astype(int) - np.asarray(expected)
    assert np.abs(difference[middle]).max() <= 1


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(1, 200), st.floats(-360, 360))
def test_the_expanded_size_is_the_box_around_the_corners(width, height, angle):
    found = turned(an_image(height, width), angle)
    if angle % 90 == 0:
        return
    cosine, sine = abs(math.cos(math.radians(angle))), abs(math.sin(math.radians(angle)))
    for side, exact in zip(
        found.shape[::-1],
        (width * cosine + height * sine, width * sine + height * cosine),
        strict=True,
    ):
        assert exact - 1e-5 <= side < exact + 1  # an error below a millionth adds no pixel


@pytest.mark.parametrize("angle", [7, 45, 100.5])
def test_the_expanded_size_is_pillows_within_a_pixel(angle):
    expected = Pillow.new("L", (200, 120)).rotate(-angle, expand=True).size
    found = turned(an_image(120, 200), angle).shape[::-1]
    # Pillow rounds both ends of a side outwards.
    assert all(0 <= theirs - ours <= 1 for theirs, ours in zip(expected, found, strict=True))


@pytest.mark.parametrize("background", ["transparent", "#20c04080"])
@pytest.mark.parametrize("channels", CHANNELS)
def test_alpha_is_premultiplied_and_the_corners_get_the_background(background, channels):
    image = an_image(37, 52, *channels)
    found = turned(image, 20, background=background)
    fill = (0, 0, 0, 0) if background == "transparent" else (0x40, 0xC0, 0x20, 0x80)
    gray = image if channels else np.dstack([image] * 3)
    full = gray if channels == (4,) else np.dstack([gray, np.full((37, 52), 255, np.uint8)])
    size = found.shape[1], found.shape[0]
    alpha = rotated(full[..., 3].astype(float), 20, size, fill[3])
    for i in range(3):
        plane = full[..., i] * (full[..., 3] / 255)
        colour = rotated(plane, 20, size, fill[i] * fill[3] / 255)
        visible = alpha >= 8  # the error of places is divided by alpha
        exact = np.clip(colour[visible] * 255 / alpha[visible], 0, 255)
        assert np.abs(found[visible][..., i] - exact).max() <= 0.5 + 0.7
    assert np.abs(found[..., 3] - np.clip(alpha, 0, 255)).max() <= 0.5 + 0.05
    assert tuple(found[0, 0]) == fill


def test_a_transparent_background_does_not_darken_the_edges():
    image = np.full((30, 40, 3), (200, 150, 100), np.uint8)
    found = turned(image, 20, background="transparent")
    visible = found[..., 3] > 0
    np.testing.assert_array_equal(found[visible, :3] - np.array([200, 150, 100]), 0)
    assert ((found[..., 3] > 0) & (found[..., 3] < 255)).any()


@pytest.mark.parametrize(
    ("channels", "background", "expected"),
    [
        ((), "#808080", ()),
        ((), "#80808000", (4,)),
        ((), "#ff0000", (3,)),
        ((3,), "#ff0000", (3,)),
        ((3,), "#ff0000fe", (4,)),
        ((4,), "#ff0000", (4,)),
        ((4,), "transparent", (4,)),
    ],
)
def test_the_result_has_the_channels_that_the_background_needs(channels, background, expected):
    image = np.full((9, 8, *channels), 255, np.uint8)
    found = turned(image, 45, background=background)
    assert found.shape[2:] == expected
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous


def test_a_coloured_background_fills_the_corners():
    found = turned(np.zeros((30, 30), np.uint8), 45, background="#ff8000")
    assert tuple(found[0, 0]) == (0x00, 0x80, 0xFF)
    assert tuple(found[20, 20]) == (0, 0, 0)


def test_a_result_over_the_limit_is_refused_before_it_is_made():
    limits = JobContext(Settings(max_pixels=100 * 100))
    rotate(an_image(100, 100), angle=45, expand=False, context=limits)
    with pytest.raises(ImageTooLargeError, match="image: the result would be 142 x 142 px"):
        rotate(an_image(100, 100), angle=45, context=limits)


def test_a_bad_colour_is_refused():
    with pytest.raises(ParameterError, match="background is 'red'"):
        turned(an_image(4, 4), 45, background="red")


@pytest.mark.parametrize(
    "values",
    [{}, {"angle": 361}, {"angle": float("nan")}, {"angle": 1, "background": "red"}],
)
def test_bad_parameters_are_refused(values):
    with pytest.raises(BadJobError):
        getattr(rotate, ATTRIBUTE).read_parameters(values)
