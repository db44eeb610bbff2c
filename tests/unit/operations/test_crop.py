"""Crops against Pillow and ImageMagick."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from agewell.shared.errors import BadJobError, ParameterError, ShapeError
from agewell.workers.imaging.geometry import Gravity
from agewell.workers.operations.crop import crop
from agewell.workers.operations.declaration import ATTRIBUTE
from tests.oracles.image_magick import convert, needs_image_magick

GRAVITIES = get_args(Gravity)
CHANNELS = [(), (3,), (4,)]


def an_image(*shape: int) -> np.ndarray:
    image = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    image.flags.writeable = False
    return image


@given(st.data(), st.integers(1, 30), st.integers(1, 30), st.sampled_from(CHANNELS))
def test_a_box_agrees_with_pillow(data, width, height, channels):
    image = an_image(height, width, *channels)
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    w, h = data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y))
    found = crop(image, box=(x, y, w, h))
    np.testing.assert_array_equal(found, Pillow.fromarray(image).crop((x, y, x + w, y + h)))
    assert found.flags.c_contiguous


@needs_image_magick
@pytest.mark.parametrize("gravity", GRAVITIES)
@pytest.mark.parametrize("channels", CHANNELS)
def test_a_size_at_a_gravity_agrees_with_imagemagick(gravity, channels):
    image = an_image(20, 30, *channels)  # even sizes: ImageMagick rounds a middle another way
    expected = convert(image, "-gravity", gravity, "-crop", "12x8+0+0", "+repage")
    np.testing.assert_array_equal(crop(image, width=12, height=8, gravity=gravity), expected)


def test_a_side_that_is_not_given_stays():
    image = an_image(7, 9)
    np.testing.assert_array_equal(crop(image, width=4, gravity="west"), image[:, :4])
    np.testing.assert_array_equal(crop(image, height=3, gravity="south"), image[4:])


def test_the_middle_is_the_default():
    image = an_image(7, 9)
    np.testing.assert_array_equal(crop(image, width=3, height=3), image[2:5, 3:6])


@pytest.mark.parametrize("box", [(0, 0, 10, 7), (1, 0, 9, 7), (0, 5, 9, 3), (9, 0, 1, 1)])
def test_a_box_outside_of_the_image_is_refused_with_both_sizes(box):
    x, y, width, height = box
    text = f"{width} x {height} px at x={x}, y={y}, must lie within the image, 9 x 7 px"
    with pytest.raises(ShapeError, match=text):
        crop(an_image(7, 9), box=box)


@pytest.mark.parametrize("gravity", GRAVITIES)
def test_a_size_larger_than_the_image_is_refused_with_both_sizes(gravity):
    with pytest.raises(ShapeError, match="the part, 9 x 8 px, must lie within the image, 9 x 7 px"):
        crop(an_image(7, 9), height=8, gravity=gravity)


def test_a_box_with_a_size_is_refused():
    with pytest.raises(ParameterError, match="box is given with a width or height"):
        crop(an_image(7, 9), box=(0, 0, 1, 1), width=1)


def test_neither_box_nor_size_is_refused():
    with pytest.raises(ParameterError, match="box is not given"):
        crop(an_image(7, 9))


@pytest.mark.parametrize(
    "values",
    [
        {"width": 0},
        {"height": 65_536},
        {"box": [0, 0, 0, 1]},
        {"box": [-1, 0, 1, 1]},
        {"box": [0, 0, 1]},
        {"width": 1, "gravity": "up"},
    ],
)
def test_bad_parameters_are_refused(values):
    with pytest.raises(BadJobError):
        getattr(crop, ATTRIBUTE).read_parameters(values)
