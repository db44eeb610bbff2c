"""The outputs of the DETR family."""

from typing import Final

import numpy as np

from agewell.workers.models.activations import sigmoid, softmax
from agewell.workers.models.arrays import Array, Arrays
from agewell.workers.models.decoding.decoder import Candidates, Decoder, corners_of_centres
from agewell.workers.models.decoding.picking import (
    OutputsError,
    check_fractions,
    classes,
    pick,
    shown,
)
from agewell.workers.models.outputs_spec import DetrOutputs

_LOGITS: Final = ("logits", "pred_logits")
_BOXES: Final = ("pred_boxes", "boxes")
_AXES: Final = 3
_OUTSIDE: Final = 0.5  # boxes may reach over the edge of the input, as fractions of it


class DetrDecoder(Decoder):
    """Queries with logits of all classes, and a box each."""

    def __init__(self, spec: DetrOutputs, class_count: int | None) -> None:
        self._spec = spec
        self._classes = class_count

    def check(self, outputs: Arrays) -> None:
        """Check both shapes, and that boxes are fractions of the input."""
        logits, boxes = self._pick(outputs, _AXES)
        if boxes.shape != (*logits.shape[:2], 4):
            raise OutputsError(
                f"the logits are {shown(logits.shape)} and the boxes {shown(boxes.shape)}; "
                f"expected: (N, queries, classes) and (N, queries, 4)"
            )
        if self._classes is not None and not self._fits(logits.shape[2]):
            raise OutputsError(self._misfit(logits.shape))
        advice = "detr has boxes as fractions of the input: centre, width and height"
        check_fractions(boxes, "boxes", advice, _OUTSIDE)

    def _fits(self, logits: int) -> bool:
        counts = {"sigmoid": (self._classes,), "softmax": ((self._classes or 0) + 1,)}
        either = (*counts["sigmoid"], *counts["softmax"])
        return logits in counts.get(self._spec.activation or "", either)

    def _is_sigmoid(self, logits: int) -> bool:
        """Return True if each class has a logit, and none of them means no object."""
        return self._spec.activation == "sigmoid" or (
            self._spec.activation is None and logits == self._classes
        )

    def _misfit(self, shape: tuple[int, ...]) -> str:
        count, activation = self._classes or 0, self._spec.activation
        wanted = {
            "sigmoid": f"{count}): a logit for each class",
            "softmax": f"{count + 1}): a logit for each class, and one that means no object",
        }.get(activation or "", f"{count} or {count + 1})")
        other = {"sigmoid": (count + 1, "softmax"), "softmax": (count, "sigmoid")}
        fitting, name = other.get(activation or "", (0, ""))
        hint = f"; it fits `activation: {name}`" if shape[2] == fitting else ""
        expected = f"detr with {classes(count)} is (N, queries, {wanted}"
        return f"the logits are {shown(shape)}; {expected}{hint}"

    def _pick(self, outputs: Arrays, axes: int) -> tuple[Array, Array]:
        """Return the logits and the boxes."""
        logits = pick(outputs, axes, self._spec.logits, _LOGITS)
        return logits, pick(outputs, axes, self._spec.boxes, _BOXES)

    def decode(self, output: Arrays, size: tuple[int, int], score: float) -> Candidates:
        """Return the best class of each query, or with a sigmoid each class above the score."""
        logits, boxes = self._pick(output, _AXES - 1)
        if self._is_sigmoid(logits.shape[1]):
            scores = sigmoid(logits.astype(np.float64))
            queries, numbers = np.nonzero(scores >= score)
        else:
            scores = softmax(logits.astype(np.float64), axis=1)[:, :-1]
            queries = np.flatnonzero(scores.max(axis=1, initial=0) >= score)
            numbers = scores[queries].argmax(axis=1) if scores.shape[1] else queries
        whole = np.array([size[1], size[0]] * 2, np.float64)
        return Candidates(
            boxes=corners_of_centres(boxes[queries]) * whole,
            scores=scores[queries, numbers],
            classes=numbers.astype(np.int64),
        )
