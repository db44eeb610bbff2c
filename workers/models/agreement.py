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
from agewell.workers.models.detections import paired_boxes
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
        """Compare the first class of each prediction. See `Agreement.add`."""
        best = [_top_class(model, image, outputs) for outputs in (expected, found)]
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


class SameBoxes(Agreement):
    """Share of boxes that both networks find: twice the pairs, by the boxes of both; 0 to 1.

    Two boxes are a pair if they have the same label, and an intersection over union of 0.5 or more.
    """

    title = "same boxes"
    unit = "%"
    least = 0.9
    most = 1.0

    def __init__(self) -> None:
        self._paired = self._boxes = 0

    def add(self, model: Model, image: Image, expected: Arrays, found: Arrays) -> float:
        """Compare the boxes that `postprocess` returns. See `Agreement.add`."""
        first, second = (
            model.postprocess(outputs, image, {"draw": False}).values["boxes"]
            for outputs in (expected, found)
        )
        paired, boxes = 2 * paired_boxes(first, second), len(first) + len(second)
        self._paired += paired
        self._boxes += boxes
        return paired / boxes if boxes else 1.0

    def value(self) -> float:
        """Return the share over all images. It is 1 if there are no boxes."""
        return self._paired / self._boxes if self._boxes else 1.0


class SameMask(Agreement):
    """Share of pixels with the same class: 0 to 1."""

    title = "same class of pixels"
    unit = "%"
    least = 0.95
    most = 1.0

    def __init__(self) -> None:
        self._same = self._pixels = 0

    def add(self, model: Model, image: Image, expected: Arrays, found: Arrays) -> float:
        """Compare the masks that `postprocess` returns. See `Agreement.add`."""
        first, second = (
            np.asarray(model.postprocess(outputs, image, {}).image) for outputs in (expected, found)
        )
        same = int((first == second).sum())
        self._same += same
        self._pixels += first.size
        return same / first.size

    def value(self) -> float:
        """Return the share over all images."""
        return self._same / self._pixels if self._pixels else 0.0


_OF_TASK: dict[str, type[Agreement]] = {
    "classification": SameClass,
    "detection": SameBoxes,
    "image": Pictures,
    "segmentation": SameMask,
}


def agreement_for(task: str) -> Agreement:
    """Return an empty measure for a task. The default is the SNR of the outputs."""
    return _OF_TASK.get(task, Outputs)()


def _top_class(model: Model, image: Image, outputs: Arrays) -> object:
    """Return the first label of a prediction. A class of the user's may return something else."""
    found = model.postprocess(outputs, image, model.sample_parameters(image)).values
    classes = found.get("classes")
    if classes:
        return classes[0]["label"]
    return int(np.argmax(next(iter(outputs.values()))))


def _wide(array: Array) -> Array:
    return array.astype(np.float64)


def _decibels(signal: float, error: float) -> float:
    if error == 0:
        return SAME_DB
    if signal == 0 or not math.isfinite(error):
        return -SAME_DB
    return max(-SAME_DB, min(SAME_DB, 10 * math.log10(signal / error)))
