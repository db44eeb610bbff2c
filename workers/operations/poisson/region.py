"""The region of a blend: the part of a mask that lies inside both images."""

from dataclasses import dataclass

import numpy as np

from agewell.shared.errors import MaskError, ShapeError
from agewell.workers.imaging.image import Image
from agewell.workers.operations.poisson.multigrid import Inside

Point = tuple[int, int]
Size = tuple[int, ...]
Window = tuple[slice, slice]  # rows and columns

SELECTED = 128  # mask values from here on select a pixel, as in fpie


@dataclass(frozen=True)
class Region:
    """A patch of both images, one pixel wider on each side than the selected pixels."""

    inside: Inside  # (h, w) bool, the selected pixels; the outermost rows and columns are False
    on_source: Window  # the patch on the source
    on_destination: Window  # the patch on the destination


def find_region(
    source: Size,
    mask: Image,
    destination: Size,
    mask_on_source: Point | None,
    mask_on_destination: Point,
) -> Region:
    """Select the pixels that can be blended.

    Args:
        source: the shape of the source, (H, W, ...).
        mask: (h, w) uint8.
        destination: the shape of the destination, (H', W', ...).
        mask_on_source: (x, y) of the mask's top left on the source, or None: see ``poisson_blend``.
        mask_on_destination: (x, y) of the mask's top left on the destination.

    Raises:
        ShapeError: the mask's size is not the source's, or it selects a pixel outside the source.
        MaskError: no pixel is selected, or none of them can be blended.
    """
    if mask_on_source is None and mask.shape != source[:2]:
        raise ShapeError(
            f"the mask is {_size(mask.shape)} and the source {_size(source)}: if the sizes "
            "differ, mask_on_source must give the mask's position on the source"
        )
    selected = mask >= SELECTED
    if not selected.any():
        highest = mask.max(initial=0)
        raise MaskError("mask", f"selects nothing: its largest value is {highest}, of {SELECTED}")
    at_source = mask_on_source or (0, 0)
    _require_on_source(selected, at_source, source)
    _cut(selected, mask_on_destination, destination, border=0)
    if not selected.any():
        raise MaskError("mask", _beside(mask, mask_on_destination, destination))
    _cut(selected, at_source, source, border=1)
    _cut(selected, mask_on_destination, destination, border=1)
    if not selected.any():
        raise MaskError(
            "mask", "selects only the outermost pixels of the source or of the destination"
        )
    (top, bottom), (left, right) = _bounds(selected)
    return Region(
        inside=np.pad(selected[top:bottom, left:right], 1),
        on_source=_around(top, bottom, left, right, at_source),
        on_destination=_around(top, bottom, left, right, mask_on_destination),
    )


def _require_on_source(selected: Inside, at: Point, source: Size) -> None:
    (top, bottom), (left, right) = _bounds(selected)
    x0, x1, y0, y1 = left + at[0], right - 1 + at[0], top + at[1], bottom - 1 + at[1]
    if x0 < 0 or y0 < 0 or x1 >= source[1] or y1 >= source[0]:
        raise ShapeError(
            f"with its top left at {at} of the source, the mask selects x {x0}..{x1}, "
            f"y {y0}..{y1}, but the source is {_size(source)}"
        )


def _cut(selected: Inside, at: Point, shape: Size, *, border: int) -> None:
    """Unselect, in place, the pixels outside an image of that shape or within its border."""
    for axis in (0, 1):
        along = selected.swapaxes(0, axis)
        first = border - at[1 - axis]
        last = shape[axis] - border - at[1 - axis]
        along[: max(0, first)] = False
        along[max(0, last) :] = False


def _beside(mask: Image, at: Point, destination: Size) -> str:
    (top, bottom), (left, right) = _bounds(mask >= SELECTED)
    return (
        f"selects nothing on the destination: its pixels lie at x {left + at[0]}.."
        f"{right - 1 + at[0]}, y {top + at[1]}..{bottom - 1 + at[1]}, and the destination is "
        f"{_size(destination)}"
    )


def _around(top: int, bottom: int, left: int, right: int, at: Point) -> Window:
    return (
        slice(top - 1 + at[1], bottom + 1 + at[1]),
        slice(left - 1 + at[0], right + 1 + at[0]),
    )


def _bounds(selected: Inside) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return (first row, last row + 1), (first column, last column + 1) of a mask.

    The mask must not be empty.
    """
    rows, columns = (np.flatnonzero(selected.any(axis=axis)) for axis in (1, 0))
    return (int(rows[0]), int(rows[-1]) + 1), (int(columns[0]), int(columns[-1]) + 1)


def _size(shape: Size) -> str:
    return f"{shape[1]}x{shape[0]}"
