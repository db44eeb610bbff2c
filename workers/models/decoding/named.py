"""Boxes, labels and scores as three outputs, as SSD and torchvision have them."""

from typing import Final

import numpy as np

from agewell.workers.models.arrays import Array, Arrays
from agewell.workers.models.decoding.decoder import (
    Candidates,
    Decoder,
    Floats,
    corners_of_centres,
)
from agewell.workers.models.decoding.picking import (
    OutputsError,
    check_fractions,
    described,
    pick,
)
from agewell.workers.models.outputs_spec import NamedOutputs

_AXES: Final = 3


class NamedDecoder(Decoder):
    """Boxes that the network has chosen itself."""

    def __init__(self, spec: NamedOutputs, class_count: int | None) -> None:
        self._spec = spec
        self._classes = class_count

    def check(self, outputs: Arrays) -> None:
        """Check the three shapes, the range of the scores, and the class numbers."""
        boxes, labels, scores = self._pick(outputs, _AXES)
        if not (boxes.shape == (*labels.shape, 4) and labels.shape == scores.shape):
            raise OutputsError(
                f"found: {described(outputs)}; expected: {self._spec.boxes} (N, M, 4), "
                f"{self._spec.labels} (N, M), {self._spec.scores} (N, M)"
            )
        check_fractions(scores, "scores", f"Is output {self._spec.scores} the right one?")
        highest = np.max(labels, initial=0) - self._spec.first_class
        if self._classes is not None and highest >= self._classes:
            raise OutputsError(
                f"output {self._spec.labels} has class {int(highest) + self._spec.first_class}; "
                f"{self._classes} classes from {self._spec.first_class} on end before it"
            )

    def _pick(self, outputs: Arrays, axes: int) -> tuple[Array, Array, Array]:
        """Return the boxes, the labels and the scores."""
        return (
            pick(outputs, axes, self._spec.boxes),
            pick(outputs, axes - 1, self._spec.labels),
            pick(outputs, axes - 1, self._spec.scores),
        )

    def decode(self, output: Arrays, size: tuple[int, int], score: float) -> Candidates:
        """Return the boxes above the score. Those of the background are left out."""
        boxes, labels, scores = self._pick(output, _AXES - 1)
        classes = np.rint(labels).astype(np.int64) - self._spec.first_class
        keep = (scores >= score) & (classes >= 0)
        corners = self._corners(boxes[keep])
        if self._spec.units == "fractions":
            corners = corners * np.array([size[1], size[0]] * 2, np.float64)
        return Candidates(corners, scores[keep].astype(np.float64), classes[keep])

    def _corners(self, boxes: Array) -> Floats:
        boxes = boxes.astype(np.float64)
        match self._spec.format:
            case "xyxy":
                return boxes
            case "yxyx":
                return boxes[:, [1, 0, 3, 2]]
            case "xywh":
                return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
            case "cxcywh":
                return corners_of_centres(boxes)
