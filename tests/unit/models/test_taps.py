"""Intermediates as numbers and as pictures."""

import io

import numpy as np
import pytest

from agewell.workers.models.taps import as_npz, heat_map


def test_the_file_holds_the_array_under_its_name():
    array = np.random.default_rng(1).random((3, 4), np.float32)
    with np.load(io.BytesIO(as_npz("down.1", array)), allow_pickle=False) as kept:
        assert np.array_equal(kept["down.1"], array)


@pytest.mark.parametrize(
    "shape",
    [(8, 6, 9), (54, 16), (7, 16), (5,), (2, 3, 6, 9)],
    ids=["map", "tokens", "rows", "features", "heads"],
)
def test_picture_of_a_tap_has_the_size_of_the_image(shape):
    array = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    picture = heat_map(array, np.zeros((60, 90, 3), np.uint8))
    assert (picture.shape, picture.dtype) == ((60, 90, 3), np.uint8)


def test_the_picture_is_brightest_where_the_magnitude_is():
    array = np.zeros((4, 6, 9), np.float32)
    array[:, 1, 7] = -5  # its sign does not matter
    picture = heat_map(array, np.zeros((60, 90, 3), np.uint8)).sum(axis=2)
    y, x = np.unravel_index(picture.argmax(), picture.shape)
    assert (y // 10, x // 10) == (1, 7)


def test_tokens_of_a_map_are_laid_out_row_by_row():
    tokens = np.zeros((54, 16), np.float32)  # 6 rows of 9
    tokens[2 * 9 + 4] = 1
    picture = heat_map(tokens, np.zeros((60, 90, 3), np.uint8)).sum(axis=2)
    y, x = np.unravel_index(picture.argmax(), picture.shape)
    assert (y // 10, x // 10) == (2, 4)


def test_a_constant_or_infinite_intermediate_still_has_a_picture():
    for value in (0.0, np.nan, np.inf):
        assert heat_map(np.full((2, 3, 3), value, np.float32), np.zeros((9, 9, 3), np.uint8)).any()
