"""The outputs of the YOLO family."""

from typing import Final

import numpy as np

from agewell.workers.models.activations import sigmoid
from agewell.workers.models.arrays import Array, Arrays
from agewell.workers.models.decoding.decoder import Candidates, Decoder, corners_of_centres
from agewell.workers.models.decoding.picking import OutputsError, check_fractions, classes, pick
from agewell.workers.models.outputs_spec import YoloOutputs

_COLUMNS: Final = {"yolov5": 5, "yolov8": 4, "yolov10": 6}
"""The numbers of a box without those of its classes."""
_SCORES_FROM: Final = 4
_AXES: Final = 3


class YoloDecoder(Decoder):
    """Boxes with a score for each class (v5, v8), or with one score and a class (v10)."""

    def __init__(self, spec: YoloOutputs, class_count: int | None) -> None:
        self._spec = spec
        self._classes = class_count

    def check(self, outputs: Arrays) -> None:
        """Check the shape of the output, the range of its scores, and its class numbers."""
        found = pick(outputs, _AXES, self._spec.output)
        self._check_shape(found)
        scores = self._activated(self._rows(found[0])[:, _SCORES_FROM:])
        chosen = self._spec.family == "yolov10"
        advice = "Is `family` right? If they are logits, write `activation: sigmoid`"
        check_fractions(scores[:, :1] if chosen else scores, "scores", advice)
        if chosen:
            _check_numbers(scores[:, 1], self._classes)

    def _check_shape(self, found: Array) -> None:
        family, (boxes, columns) = self._spec.family, self._rows(found[0]).shape
        least = _COLUMNS[family]
        if family == "yolov10":
            fits = columns == least
        elif self._classes is not None:
            fits = columns == least + self._classes
        else:
            fits = least < columns <= max(boxes, least + 1)
        if not fits:
            raise OutputsError(self._misfit(found.shape))

    def _misfit(self, shape: tuple[int, ...]) -> str:
        spec, known = self._spec, self._classes is not None
        count = self._classes or 0
        axes = _axes(spec.family, str(count) if known else "classes", transposed=spec.transposed)
        found = f"the output is (N, {shape[1]}, {shape[2]})"
        named = f" with {classes(count)}" if known and spec.family != "yolov10" else ""
        return f"{found}; {spec.family}{named} is {axes}{self._hint(shape)}"

    def _hint(self, shape: tuple[int, ...]) -> str:
        """Return how the output could be meant, if the number of classes is known."""
        if self._classes is None:
            return ""
        boxes, columns = self._rows(np.empty(shape[1:])).shape
        fitting = " or ".join(_layouts(shape, self._classes))
        room = columns - _COLUMNS[self._spec.family]
        hints = [f"fits {fitting}"] if fitting else []
        if self._spec.family != "yolov10" and 0 < room < boxes:
            hints.insert(0, f"has room for {classes(room)}")
        return f"; it {', or '.join(hints)}" if hints else ""

    def _rows(self, found: Array) -> Array:
        """Return a view with one row for each box."""
        turned = (self._spec.family == "yolov8") != self._spec.transposed
        return found.T if turned else found

    def _activated(self, scores: Array) -> Array:
        if self._spec.activation == "none":
            return scores
        if self._spec.family == "yolov10":
            return np.column_stack([sigmoid(scores[:, :1]), scores[:, 1:]])
        return sigmoid(scores)

    def decode(self, output: Arrays, size: tuple[int, int], score: float) -> Candidates:
        """Return each box with its best class."""
        del size  # boxes are in px of the input already
        rows = self._rows(pick(output, _AXES - 1, self._spec.output))
        if self._spec.family == "yolov10":
            return self._chosen(rows, score)
        if self._spec.family == "yolov5":
            # A box's score is at most its objectness, so most boxes end here.
            rows = rows[self._activated(rows[:, 4:5])[:, 0] >= score]
        scores = self._activated(rows[:, _COLUMNS[self._spec.family] :])
        if self._spec.family == "yolov5":
            scores = scores * self._activated(rows[:, 4:5])
        best = scores.max(axis=1, initial=0)
        keep = np.flatnonzero(best >= score)
        return Candidates(
            boxes=corners_of_centres(rows[keep, :4]),
            scores=best[keep].astype(np.float64),
            classes=scores[keep].argmax(axis=1).astype(np.int64) if len(keep) else _no_classes(),
        )

    def _chosen(self, rows: Array, score: float) -> Candidates:
        scores = self._activated(rows[:, _SCORES_FROM:])
        keep = (scores[:, 0] >= score) & (scores[:, 1] >= 0)
        return Candidates(
            boxes=rows[keep, :4].astype(np.float64),
            scores=scores[keep, 0].astype(np.float64),
            classes=np.rint(scores[keep, 1]).astype(np.int64),
        )


def _no_classes() -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return np.empty(0, np.int64)


def _check_numbers(classes: Array, count: int | None) -> None:
    whole = np.array_equal(classes, np.rint(classes))
    if not whole or (count is not None and np.max(classes, initial=-1) >= count):
        low, high = float(np.min(classes)), float(np.max(classes))
        allowed = "whole numbers" if count is None else f"whole numbers below {count}"
        raise OutputsError(f"the classes of boxes must be {allowed}; found: {low:g} to {high:g}")


def _axes(family: str, classes: str, *, transposed: bool) -> str:
    """Return the shape of a family's output as text."""
    columns = {"yolov10": "6"}.get(family) or _sum(_COLUMNS[family], classes)
    turned = (family == "yolov8") != transposed
    return f"(N, {columns}, boxes)" if turned else f"(N, boxes, {columns})"


def _sum(columns: int, classes: str) -> str:
    return str(columns + int(classes)) if classes.isdigit() else f"{columns} + {classes}"


def _layouts(shape: tuple[int, ...], count: int) -> list[str]:
    """Return the families whose output has such a shape, as text."""
    found = []
    for family, columns in _COLUMNS.items():
        wanted = columns + (0 if family == "yolov10" else count)
        for axis, transposed in ((1, family != "yolov8"), (2, family == "yolov8")):
            if shape[axis] == wanted:
                found.append(f"family {family}{' with `transposed: true`' if transposed else ''}")
    return found
