"""What crosses between a model and its network: arrays by name, and the words for them."""

from collections.abc import Mapping
from typing import Any, Final

import numpy.typing as npt

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]
"""By name; float32 unless a network says otherwise."""

CHECK_FILE: Final = "check.npz"
TAP: Final = "tap:"
"""The prefix of a tapped intermediate among a pass's outputs."""


class OutOfMemoryError(Exception):
    """The device has not enough memory for a batch; a smaller one may fit."""


class DeviceLostError(Exception):
    """The device has failed: whatever this process asks of it from now on fails as well."""
