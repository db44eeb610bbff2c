"""Task `segmentation`: the class of each pixel, as a mask of the original image's size."""

from functools import cached_property
from typing import Any, Final, cast

import cv2
import numpy as np
import numpy.typing as npt

from agewell.shared.errors import ParameterError
from agewell.workers.imaging.image import Image
from agewell.workers.models.activations import sigmoid, softmax
from agewell.workers.models.arrays import Array, Arrays
from agewell.workers.models.decoding.picking import (
    OutputsError,
    check_fractions,
    classes,
    pick,
    shown,
)
from agewell.workers.models.drawing import colour_of
from agewell.workers.models.geometry import Placement, placement_of
from agewell.workers.models.model import Model, Parameters, Prediction
from agewell.workers.models.outputs_spec import SegmentationOutputs
from agewell.workers.models.preprocess import as_input
from agewell.workers.models.tasks.values import Classes, flag

Plane = npt.NDArray[np.float32]

_AXES: Final = 4
_BACKGROUND: Final = "background"
_MOST_CLASSES: Final = 256  # each has one gray value
_OVERLAY_SHARE: Final = 0.5


class Segmenter(Model):
    """The most probable class of each pixel: (N, classes, h, w) logits."""

    parameters = frozenset({"label", "soft", "draw"})

    @cached_property
    def _outputs(self) -> SegmentationOutputs:
        outputs = self.spec.outputs
        return outputs if isinstance(outputs, SegmentationOutputs) else SegmentationOutputs()

    @cached_property
    def _classes(self) -> Classes:
        labels = tuple(self.spec.labels or self.network.labels())
        one = len(labels) == 1 or self._outputs.class_count == 1
        if one:
            return Classes((_BACKGROUND, *labels) if len(labels) < 2 else labels, 2)
        return Classes(labels, self._outputs.class_count)

    def check_outputs(self, outputs: Arrays) -> None:
        """Check that there is one output with a plane for each class.

        Raises:
            ModelError: there is not. It says what was found and what was expected.
        """
        shapes = ((300, 100), (100, 300))
        if not all(placement_of(*each, self.spec.input).shows_all for each in shapes):
            raise self._error("its input cuts off parts of images; use `fit: letterbox` or stretch")
        try:
            found = pick(outputs, _AXES, self._outputs.output)
            self._check_shape(found.shape)
            if self._outputs.activation == "none":
                check_fractions(found, "probabilities", "Write the `activation` of logits")
        except OutputsError as error:
            raise self._error(f"its outputs do not fit model.yaml: {error}") from None

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        count = self._classes.count
        allowed = (count,) if count != 2 else (1, 2)
        if shape[1] > _MOST_CLASSES or (count is not None and shape[1] not in allowed):
            wanted = classes(count) if count is not None else f"at most {_MOST_CLASSES} classes"
            axes = f"(N, {count or 'classes'}, height, width)"
            last = shape[3] in allowed if count is not None else shape[3] <= _MOST_CLASSES
            hint = "; its classes seem to be the last axis" if last else ""
            raise OutputsError(
                f"the output is {shown(shape)}; expected: {axes} with {wanted}{hint}"
            )

    def check_parameters(self, parameters: Parameters) -> None:
        """Check the values of `label`, `soft` and `draw`.

        Raises:
            ParameterError: a value is not allowed, or another name is given.
        """
        super().check_parameters(parameters)
        chosen = self._classes.chosen(parameters, "label")
        if flag(parameters, "soft", False) and not chosen:
            raise ParameterError("soft", "given without label", "with label, the class of the mask")
        flag(parameters, "draw", False)

    def preprocess(self, image: Image, parameters: Parameters) -> dict[str, Array]:
        """Return `image`: (C, H, W) float32, normalised by model.yaml's `input`."""
        del parameters
        return {"image": as_input(image, self.spec.input)}

    def postprocess(self, output: Arrays, image: Image, parameters: Parameters) -> Prediction:
        """Return a mask of the image's size, and the share of pixels of each class.

        The mask is (H, W) uint8: the number of each pixel's class, or with `label` 255 for pixels
        of these classes and 0 for others, or with `soft` their probability times 255. The values
        are {"segments": [{"label": text, "share": 0..1}, ...]}, the largest share first.
        """
        planes = pick(output, _AXES - 1, self._outputs.output).astype(np.float32)
        place = placement_of(image.shape[0], image.shape[1], self.spec.input)
        numbers = _numbers(self._with_background(planes), place)
        chosen = self._classes.chosen(parameters, "label")
        mask = numbers
        if parameters.get("soft"):
            mask = self._soft(planes, place, chosen)
        elif chosen:
            mask = np.isin(numbers, chosen).astype(np.uint8) * np.uint8(255)
        return Prediction(
            image=mask,
            values={"segments": self._segments(numbers)},
            pictures={"overlay": _overlay(image, numbers)} if parameters.get("draw") else {},
            exact=not chosen,
        )

    def _with_background(self, planes: Plane) -> Plane:
        """Return a plane for each class, also if the network has one for a single class."""
        if len(planes) > 1:
            return planes
        even = 0.5 if self._outputs.activation == "none" else 0.0
        return np.concatenate([np.full_like(planes, even), planes])

    def _soft(self, planes: Plane, place: Placement, chosen: tuple[int, ...]) -> Image:
        """Return the probability of some classes, times 255."""
        probabilities = self._probabilities(planes)
        total = probabilities[list(dict.fromkeys(chosen))].sum(axis=0)
        whole = _to_image(np.ascontiguousarray(total), place)
        return cast(Image, np.rint(np.clip(whole, 0, 1) * 255).astype(np.uint8))

    def _probabilities(self, planes: Plane) -> Plane:
        activation = self._outputs.activation
        if len(planes) == 1:
            one = planes if activation == "none" else sigmoid(planes)
            return np.concatenate([1 - one, one])
        if activation == "softmax":
            return softmax(planes, axis=0)
        return planes if activation == "none" else sigmoid(planes)

    def _segments(self, numbers: Image) -> list[dict[str, Any]]:
        counts = np.bincount(numbers.ravel())
        found = [each for each in np.argsort(-counts, kind="stable") if counts[each]]
        return [
            {"label": self._classes.name(int(each)), "share": float(counts[each] / numbers.size)}
            for each in found
        ]


def _numbers(planes: Plane, place: Placement) -> Image:
    """Return the class with the largest value at each pixel of the image: (H, W) uint8.

    The values are interpolated before they are compared, so that edges are smooth. Only the planes
    of one class are enlarged at a time, because all of them might not fit into memory.
    """
    best = _to_image(planes[0], place)
    numbers = np.zeros(best.shape, np.uint8)
    for number, plane in enumerate(planes[1:], 1):
        values = _to_image(plane, place)
        numbers[values > best] = number
        np.maximum(best, values, out=best)
    return numbers


def _to_image(plane: Plane, place: Placement) -> Plane:
    """Resize a plane of the network's output to the image, without the letterbox's borders."""
    window = place.window
    if (window.width, window.height) != (place.input_width, place.input_height):
        whole = cv2.resize(plane, (place.input_width, place.input_height))
        plane = cast(Plane, whole)[
            window.top : window.top + window.height, window.left : window.left + window.width
        ]
    return cast(Plane, cv2.resize(plane, (place.width, place.height)))


def _overlay(image: Image, numbers: Image) -> Image:
    """Lay a colour for each class over the image. Class 0 has none."""
    table = np.array([colour_of(number) for number in range(_MOST_CLASSES)], np.uint8)
    mixed = cv2.addWeighted(table[numbers], _OVERLAY_SHARE, image, 1 - _OVERLAY_SHARE, 0)
    return np.where(numbers[..., None] > 0, mixed, image).astype(np.uint8)
