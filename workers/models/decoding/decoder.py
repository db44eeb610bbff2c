"""The interface of decoders, and the boxes that they return."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from agewell.workers.models.arrays import Arrays

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Candidates:
    """The boxes of one image, in any order."""

    boxes: Floats
    """(N, 4), x0, y0, x1, y1, px of the input. They may lie partly outside of it."""
    scores: Floats
    """(N,), 0..1."""
    classes: Integers
    """(N,), numbers from 0."""
    polygons: Floats | None = None
    """(N, 4, 2), the corners of rotated boxes, px of the input. None: the boxes are upright."""

    def only(self, chosen: npt.NDArray[Any]) -> "Candidates":
        """Return some of the boxes.

        Args:
            chosen: indices, or flags.
        """
        polygons = None if self.polygons is None else self.polygons[chosen]
        return Candidates(self.boxes[chosen], self.scores[chosen], self.classes[chosen], polygons)


class Decoder(ABC):
    """Reads the outputs of one family of detectors."""

    @abstractmethod
    def check(self, outputs: Arrays) -> None:
        """Check that the outputs of a pass have the shapes and the ranges of the family.

        Args:
            outputs: arrays by name, with batch axis 0.

        Raises:
            OutputsError: they do not. It says what was found and what was expected.
        """

    @abstractmethod
    def decode(self, output: Arrays, size: tuple[int, int], score: float) -> Candidates:
        """Return the boxes of one image.

        Args:
            output: arrays by name, without the batch axis.
            size: (height, width) of the input in px.
            score: the lowest score of a box to return.
        """


def corners_of_centres(boxes: npt.NDArray[Any]) -> Floats:
    """Convert boxes from centre, width and height to corners: (N, 4) -> (N, 4)."""
    centres = np.asarray(boxes, np.float64)
    half = centres[:, 2:] / 2
    return np.concatenate([centres[:, :2] - half, centres[:, :2] + half], axis=1)
