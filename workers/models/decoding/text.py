"""The output of a text detector: a map of probabilities, from which rotated boxes are cut.

Source: Liao et al., "Real-time scene text detection with differentiable binarization", AAAI 2020.
"""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from agewell.workers.models.arrays import Array, Arrays
from agewell.workers.models.decoding.decoder import Candidates, Decoder
from agewell.workers.models.decoding.picking import OutputsError, check_fractions, pick, shown
from agewell.workers.models.outputs_spec import TextOutputs

_AXES: Final = 4

Rectangle = tuple[Sequence[float], Sequence[float], float]
"""Centre, width and height, and angle in degrees, as OpenCV has them."""


class TextDecoder(Decoder):
    """One box around each connected part of the map that is above a threshold."""

    def __init__(self, spec: TextOutputs) -> None:
        self._spec = spec

    def check(self, outputs: Arrays) -> None:
        """Check that the output is one map for each image, with values 0..1."""
        found = pick(outputs, _AXES, self._spec.output)
        if found.shape[1] != 1:
            raise OutputsError(f"the map is {shown(found.shape)}; expected: (N, 1, height, width)")
        check_fractions(found, "the map", "It must hold probabilities")

    def decode(self, output: Arrays, size: tuple[int, int], score: float) -> Candidates:
        """Return rotated boxes. The score of a box is the mean of the map within it."""
        plane = pick(output, _AXES - 1, self._spec.output)[0].astype(np.float32)
        found = []
        for contour in _outer_contours(plane > self._spec.threshold):
            rectangle = cv2.minAreaRect(contour.astype(np.float32))
            if min(rectangle[1]) + 1 < self._spec.min_side:
                continue
            mean = _mean_within(plane, rectangle)
            if mean >= score:
                found.append((mean, _from_top_left(cv2.boxPoints(self._grown(rectangle)))))
        scale = np.array([size[1] / plane.shape[1], size[0] / plane.shape[0]])
        polygons = np.array([each for _, each in found], np.float64).reshape(-1, 4, 2) * scale
        return Candidates(
            boxes=np.concatenate([polygons.min(axis=1), polygons.max(axis=1)], axis=1),
            scores=np.array([mean for mean, _ in found], np.float64),
            classes=np.zeros(len(found), np.int64),
            polygons=polygons,
        )

    def _grown(self, rectangle: Rectangle) -> Rectangle:
        """Move each side outwards by area * unclip / perimeter, equation 10 of the paper.

        The rectangle goes through the centres of pixels, the grown one along their edges.
        """
        (x, y), (width, height), angle = rectangle
        width, height = width + 1, height + 1
        by = width * height * self._spec.unclip / (2 * (width + height))
        return (x + 0.5, y + 0.5), (width + 2 * by, height + 2 * by), angle


def _outer_contours(flags: Array) -> list[Array]:
    """Return the outline of each connected part, in indices of pixels."""
    contours, hierarchy = cv2.findContours(
        flags.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE
    )
    # There is no hierarchy without a contour. The contours with a parent are holes.
    is_outer = list(np.reshape(hierarchy, (-1, 4))[:, 3] < 0) if contours else []
    return [np.asarray(each) for each, outer in zip(contours, is_outer, strict=True) if outer]


def _from_top_left(corners: Array) -> Array:
    """Order the corners of a rectangle clockwise, beginning with the left end of its top side."""
    after = np.roll(corners, -1, axis=0)
    if (corners[:, 0] * after[:, 1] - after[:, 0] * corners[:, 1]).sum() < 0:
        corners = corners[::-1]
        after = np.roll(corners, -1, axis=0)
    sides = after - corners
    rightwards = sides[:, 0] / np.maximum(np.linalg.norm(sides, axis=1), 1e-9)
    return np.roll(corners, -int(np.argmax(rightwards)), axis=0)


def _mean_within(plane: Array, rectangle: Rectangle) -> float:
    """Return the mean of the map over the pixels within a rectangle, its outline included."""
    corners = np.rint(cv2.boxPoints(rectangle)).astype(np.int32)
    low = np.maximum(corners.min(axis=0), 0)
    high = np.minimum(corners.max(axis=0) + 1, plane.shape[::-1])
    part = plane[low[1] : high[1], low[0] : high[0]]
    mask = np.zeros(part.shape, np.uint8)
    cv2.fillPoly(mask, [corners - low.astype(np.int32)], 1)
    return float(cv2.mean(part, mask)[0])
