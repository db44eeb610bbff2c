"""How well another network of a model agrees with its float32 network, by task.

An 8-bit export is refused if it agrees too little, and `agewell models bench` prints the figure.
To measure a new task, add an `Agreement` to `_OF_TASK`.
"""

import math
from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import numpy as np

from agewell.workers.imaging.image import Image
from agewell.workers.models.arrays import Array, Arrays
from agewell.workers.models.model import Model

Unit = Literal["%", "dB"]
SAME_DB = 100.0
"""Reported instead of infinity if nothing differs, and instead of any larger value."""


class Agreement(ABC):
    """Collects a figure image by image. It holds no images."""

    title: ClassVar[str]
    unit: ClassVar[Unit]
    least: ClassVar[float]
    """The default bound of an 8-bit export. 1 is 100 %."""
    most: ClassVar[float] = math.inf
    """The largest bound that makes sense."""

    @abstractmethod
    def add(self, model: Model, image: Image, expected: Arrays, found: Arrays) -> float:
        """Add one image, and return its own figure.

        Args:
            model: its postprocessing is used.
            image: (H, W, 3) uint8 BGR.
            expected: outputs of the float32 network for this image, without a batch axis.
            found: those of the other network.
        """

    @abstractmethod
    def value(self) -> float:
        """Return the figure over all images."""

    def shown(self, value: float) -> str:
        """Return a figure for people, such as `99.5 %` or `41.2 dB`."""
        if self.unit == "%":
            return f"{100 * value:.1f} %"
        return f"{value:.1f} dB" if value < SAME_DB else "equal"


class SameClass(Agreement):
    """Share of images with the same most probable class: 0 to 1."""

    title = "same top class"
    unit = "%"
    least = 0.95
    most = 1.0

    def __init__(self) -> None:
        self._same: list[bool] = []

    def add(self, model: Model, image: Image, expected: Arrays, found: Arrays) -> float:
        """Compare the largest value of the first output of each. See `Agreement.add`."""
        del model, image
        best = [int(np.argmax(next(iter(outputs.values())))) for outputs in (expected, found)]
        self._same.append(best[0] == best[1])
        return float(self._same[-1])

    def value(self) -> float:
        """Return the share of images with the same class."""
        return sum(self._same) / len(self._same) if self._same else 0.0


class _Decibels(Agreement):
    """A ratio of a signal's power to that of the error, over all images."""

    unit = "dB"

    def __init__(self) -> None:
        self._signal = self._error = 0.0

    def _add(self, signal: float, error: float) -> float:
        self._signal += signal
        self._error += error
        return _decibels(signal, error)

    def value(self) -> float:
        """Return the ratio over all images, in dB."""
        return _decibels(self._signal, self._error)


class Pictures(_Decibels):
    """PSNR of the final pictures: 10 log10(255^2 / mean squared error), in dB."""

    title = "PSNR of the pictures"
    least = 35.0

    def add(self, model: Model, image: Image, expected: Arrays, found: Arrays) -> float:
        """Compare the pictures that `postprocess` makes. See `Agreement.add`."""
        first, second = (
            model.postprocess(outputs, image, model.sample_parameters(image)).image
            for outputs in (expected, found)
        )
        if first is None or second is None:
            raise ValueError(f"{model.spec.id} has task image, and returned no picture")
        error = np.mean((first.astype(np.float64) - second) ** 2)
        return self._add(255.0**2, float(error))


class Outputs(_Decibels):
    """Signal to noise of the raw outputs: 10 log10(sum of x^2 / sum of error^2), in dB."""

    title = "SNR of the outputs"
    least = 20.0

    def add(self, model: Model, image: Image, expected: Arrays, found: Arrays) -> float:
        """Compare all outputs, in order. See `Agreement.add`."""
        del model, image
        return self.compare(expected, found)

    def compare(self, expected: Arrays, found: Arrays) -> float:
        """Add the outputs of an image or of a batch, and return their own ratio."""
        pairs = list(zip(map(_wide, expected.values()), map(_wide, found.values()), strict=True))
        signal = sum(float((a**2).sum()) for a, _ in pairs)
        return self._add(signal, sum(float(((a - b) ** 2).sum()) for a, b in pairs))


_OF_TASK: dict[str, type[Agreement]] = {"classification": SameClass, "image": Pictures}


def agreement_for(task: str) -> Agreement:
    """Return an empty measure for a task. The default is the SNR of the outputs."""
    return _OF_TASK.get(task, Outputs)()


def _wide(array: Array) -> Array:
    return array.astype(np.float64)


def _decibels(signal: float, error: float) -> float:
    if error == 0:
        return SAME_DB
    if signal == 0 or not math.isfinite(error):
        return -SAME_DB
    return max(-SAME_DB, min(SAME_DB, 10 * math.log10(signal / error)))
