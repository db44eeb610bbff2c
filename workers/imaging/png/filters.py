"""The five filters of PNG: they replace each byte by its difference from a prediction.

All work on bytes modulo 256 and on many rows at once.

Source: W3C, "Portable Network Graphics, third edition", section 9.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]


class Rows(NamedTuple):
    """Rows of bytes and their neighbours, each (rows, bytes of a row) uint8. Outside is 0."""

    here: Bytes
    left: Bytes  # one pixel to the left
    above: Bytes
    corner: Bytes  # above the left

    def part(self, first: int, count: int) -> "Rows":
        """Return some of the rows, without a copy."""
        return Rows(*(each[first : first + count] for each in self))


def _none(rows: Rows, out: Bytes) -> None:
    np.copyto(out, rows.here)


def _sub(rows: Rows, out: Bytes) -> None:
    np.subtract(rows.here, rows.left, out=out)


def _up(rows: Rows, out: Bytes) -> None:
    np.subtract(rows.here, rows.above, out=out)


def _average(rows: Rows, out: Bytes) -> None:
    """Predict half of left + above, rounded down, without a ninth bit for the sum."""
    mean = np.bitwise_xor(rows.left, rows.above)
    mean >>= 1
    mean += rows.left & rows.above
    np.subtract(rows.here, mean, out=out)


def _paeth(rows: Rows, out: Bytes) -> None:
    """Predict that of left, above and corner which is nearest to left + above - corner.

    Its distances from left and above are |above - corner| and |left - corner|. That from the
    corner is the difference of the two if the corner is between left and above. Otherwise it is
    their sum, so the corner is never the nearest, and any large number will do.
    """
    to_left = cv2.absdiff(rows.above, rows.corner)
    to_above = cv2.absdiff(rows.left, rows.corner)
    to_corner = cv2.absdiff(to_left, to_above)
    rising = cv2.compare(rows.above, rows.corner, cv2.CMP_GT)
    outside = cv2.bitwise_xor(rising, cv2.compare(rows.corner, rows.left, cv2.CMP_GT))
    cv2.bitwise_or(to_corner, outside, to_corner)
    predicted = rows.corner.copy()
    cv2.copyTo(rows.above, cv2.compare(to_above, to_corner, cv2.CMP_LE), predicted)
    nearest = cv2.min(to_above, to_corner, to_corner)
    cv2.copyTo(rows.left, cv2.compare(to_left, nearest, cv2.CMP_LE), predicted)
    np.subtract(rows.here, predicted, out=out)


NONE, SUB, UP, AVERAGE, PAETH = range(5)

FILTERS: Final[Mapping[int, Callable[[Rows, Bytes], None]]] = MappingProxyType(
    {NONE: _none, SUB: _sub, UP: _up, AVERAGE: _average, PAETH: _paeth}
)
"""The filters by their number in a PNG.

Each writes the filtered rows into its second argument, which has the shape of the rows.
"""
