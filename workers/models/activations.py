"""From a network's logits to probabilities."""

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Kind = TypeVar("Kind", bound=np.floating[Any])


def sigmoid(logits: npt.NDArray[Kind]) -> npt.NDArray[Kind]:
    """Return the probability of each class by itself, in the dtype of the logits."""
    # By tanh, because exp overflows for large values.
    found: npt.NDArray[Kind] = np.multiply(logits, 0.5, dtype=logits.dtype)
    np.tanh(found, out=found)
    found += 1
    found /= 2
    return found


def softmax(logits: npt.NDArray[Kind], axis: int) -> npt.NDArray[Kind]:
    """Return probabilities that add up to 1 along an axis, in the dtype of the logits."""
    weights: npt.NDArray[Kind] = np.exp(logits - logits.max(axis=axis, keepdims=True))
    weights /= weights.sum(axis=axis, keepdims=True)
    return weights
