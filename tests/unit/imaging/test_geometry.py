"""Sizes and places of boxes against fractions and Pillow."""

from fractions import Fraction
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageOps

from agewell.shared.errors import ImageTooLargeError, ParameterError
from agewell.shared.settings import Settings
from agewell.workers.imaging.geometry import Gravity, check_result, cut, fitted, gravitate

GRAVITIES = get_args(Gravity)
sides = st.integers(1, 20_000)


@pytest.mark.parametrize(
    ("gravity", "expected"),
    [
        ("northwest", (3, 3)), ("north", (15, 3)), ("northeast", (27, 3)),
        ("west", (3, 10)), ("center", (15, 10)), ("east", (27, 10)),
        ("southwest", (3, 17)), ("south", (15, 17)), ("southeast", (27, 17)),
    ],
)  # fmt: skip
def test_a_margin_is_kept_from_the_sides_that_a_gravity_names(gravity, expected):
    assert gravitate((10, 20), (40, 40), gravity, margin=3) == expected


def test_the_middle_leaves_an_odd_pixel_at_the_right_and_at_the_bottom():
    assert gravitate((2, 2), (5, 5), "center") == (1, 1)


def test_a_box_larger_than_the_image_stands_out_on_the_side_away_from_its_gravity():
    assert gravitate((14, 10), (10, 10), "east") == (-4, 0)
    assert gravitate((14, 10), (10, 10), "west") == (0, 0)
    assert gravitate((14, 10), (10, 10), "center") == (-2, 0)


@given(st.data(), st.integers(1, 50), st.integers(1, 50), st.sampled_from(GRAVITIES))
def test_a_box_that_fits_lies_within_the_image(data, width, height, gravity):
    size = data.draw(st.integers(1, width)), data.draw(st.integers(1, height))
    image = np.zeros((height, width), np.uint8)
    assert cut(image, gravitate(size, (width, height), gravity), size).shape == size[::-1]


@given(sides, sides, sides, sides)
def test_the_fitted_size_is_the_rounded_fraction(width, height, box_width, box_height):
    scale = min(Fraction(box_width, width), Fraction(box_height, height))
    expected = tuple(
        max(1, int(side * scale + Fraction(1, 2)))  # halves upwards
        for side in (width, height)
    )
    found = fitted((width, height), box_width, box_height)
    assert found == expected
    assert found[0] == box_width or found[1] == box_height


@given(sides, sides, sides)
def test_one_side_of_the_box_may_be_any(width, height, side):
    assert fitted((width, height), side, None) == fitted((width, height), side, 10**12)
    assert fitted((width, height), None, side) == fitted((width, height), 10**12, side)


@pytest.mark.parametrize("size", [(2000, 1333), (1333, 2000), (640, 480), (3, 1000)])
def test_the_fitted_size_agrees_with_pillow(size):
    expected = ImageOps.contain(Pillow.new("L", size), (500, 300), Pillow.Resampling.NEAREST).size
    assert fitted(size, 500, 300) == expected


def test_a_box_without_sides_is_refused():
    with pytest.raises(ParameterError, match="a width, a height or both"):
        fitted((4, 3), None, None)


@pytest.mark.parametrize(
    ("size", "limit"),
    [((101, 1), "100 px a side"), ((1, 101), "100 px a side"), ((41, 50), "2,000 pixels")],
)
def test_a_result_over_a_limit_is_refused_with_its_size(size, limit):
    settings = Settings(max_side=100, max_pixels=2000)
    check_result((40, 50), settings)
    with pytest.raises(ImageTooLargeError, match=rf"{size[0]} x {size[1]} px; .*{limit}"):
        check_result(size, settings)
