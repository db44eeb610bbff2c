"""Probabilities from logits, against torch in float64."""

import numpy as np
import pytest
import torch

from agewell.workers.models.activations import sigmoid, softmax

LOGITS = np.array([[-1e4, -80, -1, 0, 0.5, 30, 1e4], [3, 3, 3, 2, 1, 0, -5]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_probabilities_are_those_of_torch_and_nothing_overflows(dtype):
    logits = LOGITS.astype(dtype)
    with np.errstate(over="raise", invalid="raise"):
        found = sigmoid(logits), softmax(logits, axis=1), softmax(logits, axis=0)
    tensor = torch.from_numpy(LOGITS)
    for array, expected in zip(
        found, (tensor.sigmoid(), tensor.softmax(1), tensor.softmax(0)), strict=True
    ):
        assert array.dtype == dtype
        np.testing.assert_allclose(array, expected, atol=1e-6)
    assert np.array_equal(logits, LOGITS.astype(dtype))  # not written into
