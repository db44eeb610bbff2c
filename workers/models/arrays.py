"""The arrays that a model and its network exchange, by name, and the errors of a pass."""

from collections.abc import Mapping
from typing import Any, Final

import numpy.typing as npt

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]
"""Arrays by name, usually float32."""

CHECK_FILE: Final = "check.npz"
TAP: Final = "tap:"
"""The prefix of the names of tapped intermediates among a pass's outputs."""


class OutOfMemoryError(Exception):
    """The device has not enough memory for a batch. A smaller batch may fit."""


class DeviceLostError(Exception):
    """The device has failed. Every later call of this process to it fails as well."""
