"""Non-maximum suppression: of boxes that show the same object, keep the one with the best score."""

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

MAX_CANDIDATES = 30_000
"""Only this many boxes with the best scores are looked at, as in Ultralytics' YOLO."""

_BLOCK = 128  # boxes that are compared at a time
_FARTHEST = 1e7  # px; areas stay exact enough, and never overflow


def nms(
    boxes: npt.NDArray[Any],
    scores: npt.NDArray[Any],
    classes: npt.NDArray[Any] | None,
    iou: float,
    limit: int,
) -> Integers:
    """Choose the boxes to keep, greedily: the best score first.

    A box is dropped if its intersection over union with a kept box is above `iou`. A box without an
    area, or with a coordinate or a score that is not finite, is dropped too.

    Args:
        boxes: (N, 4), x0, y0, x1, y1.
        scores: (N,). Of equal scores, the first box in the array counts as better.
        classes: (N,) integers: only boxes of the same class suppress each other. None: all do.
        iou: 0 to 1. With 1, no box suppresses another.
        limit: the most boxes to keep.

    Returns:
        The indices of the kept boxes, the best score first.

    Source: Felzenszwalb et al., "Object detection with discriminatively trained part-based models",
    PAMI 2010, section 7.
    """
    corners = np.asarray(boxes, np.float64).reshape(-1, 4)
    order = _by_score(corners, np.asarray(scores, np.float64))
    corners = np.clip(corners[order], -_FARTHEST, _FARTHEST)
    groups = np.zeros(len(order), np.int64) if classes is None else np.asarray(classes)[order]
    if iou >= 1:
        return order[:limit]
    kept = np.empty(0, np.int64)
    for start in range(0, len(order), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(order)))
        free = block[~_suppressed(corners, groups, block, kept, iou).any(axis=1)]
        kept = np.concatenate([kept, _greedy(free, _suppressed(corners, groups, free, free, iou))])
        if len(kept) >= limit:
            break
    return order[kept[:limit]]


def _by_score(boxes: Floats, scores: Floats) -> Integers:
    """Return the indices of usable boxes, the best score first."""
    with np.errstate(invalid="ignore"):
        has_area = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    usable = np.flatnonzero(has_area & np.isfinite(boxes).all(axis=1) & np.isfinite(scores))
    order = np.argsort(-scores[usable], kind="stable")[:MAX_CANDIDATES]
    return usable[order]


def _suppressed(
    boxes: Floats, groups: npt.NDArray[Any], some: Integers, others: Integers, iou: float
) -> Flags:
    """Return (some, others): True if the two boxes overlap by more than `iou` in one class."""
    first, second = boxes[some][:, None], boxes[others][None]
    width = np.minimum(first[..., 2], second[..., 2]) - np.maximum(first[..., 0], second[..., 0])
    height = np.minimum(first[..., 3], second[..., 3]) - np.maximum(first[..., 1], second[..., 1])
    common = np.maximum(width, 0) * np.maximum(height, 0)
    union = _areas(first) + _areas(second) - common
    # Without a division: two boxes that are too small for an area have a union of 0.
    overlap: Flags = common > iou * union
    overlap &= groups[some][:, None] == groups[others][None]
    return overlap


def _areas(boxes: Floats) -> Floats:
    areas: Floats = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    return areas


def _greedy(block: Integers, overlaps: Flags) -> Integers:
    """Return the boxes of a block that no better box of the block suppresses.

    Args:
        block: indices, the best score first.
        overlaps: (len(block), len(block)).
    """
    dropped = np.zeros(len(block), np.bool_)
    for place in np.flatnonzero(overlaps.sum(axis=1) > 1):  # each box overlaps itself
        if not dropped[place]:
            dropped[place + 1 :] |= overlaps[place, place + 1 :]
    return block[~dropped]
