"""Flips against Pillow."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from agewell.shared.errors import BadJobError
from agewell.workers.operations.declaration import ATTRIBUTE
from agewell.workers.operations.flip import flip

WAYS = {
    "horizontal": Pillow.Transpose.FLIP_LEFT_RIGHT,
    "vertical": Pillow.Transpose.FLIP_TOP_BOTTOM,
    "both": Pillow.Transpose.ROTATE_180,
}


@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([(), (3,), (4,)]),
    st.sampled_from(list(WAYS)),
)
def test_it_agrees_with_pillow(width, height, channels, direction):
    image = np.random.default_rng(3).integers(0, 256, (height, width, *channels), dtype=np.uint8)
    image.flags.writeable = False
    found = flip(image, direction=direction)
    np.testing.assert_array_equal(found, Pillow.fromarray(image).transpose(WAYS[direction]))
    assert found.flags.c_contiguous
    assert found.dtype == np.uint8


def test_left_and_right_change_places_by_default():
    np.testing.assert_array_equal(flip(np.array([[1, 2, 3]], np.uint8)), [[3, 2, 1]])


def test_another_direction_is_refused():
    with pytest.raises(BadJobError, match="direction"):
        getattr(flip, ATTRIBUTE).read_parameters({"direction": "diagonal"})
