"""Task `detection`: boxes with labels and scores, in pixels of the original image."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from agewell.workers.imaging.image import Image
from agewell.workers.models.arrays import Array, Arrays
from agewell.workers.models.decoding import make_decoder
from agewell.workers.models.decoding.decoder import Candidates, Decoder
from agewell.workers.models.decoding.picking import OutputsError
from agewell.workers.models.detections import Detection, cut_out
from agewell.workers.models.drawing import draw_boxes
from agewell.workers.models.geometry import Placement, placement_of
from agewell.workers.models.model import Model, Parameters, Prediction
from agewell.workers.models.nms import nms
from agewell.workers.models.outputs_spec import (
    MAX_BOXES,
    ClassOutputs,
    DetectionOutputs,
    DetrOutputs,
    NamedOutputs,
    SegmentationOutputs,
    TextOutputs,
)
from agewell.workers.models.preprocess import as_input
from agewell.workers.models.spec import ModelSpec
from agewell.workers.models.tasks.values import Classes, flag, fraction, whole

_OF_TEXT = frozenset({"score", "max", "draw", "crops"})
_OF_CLASSES = frozenset({"iou", "classes", "agnostic"})
_TEXT = "text"


@dataclass(frozen=True)
class _Wishes:
    """A job's parameters, with the defaults of model.yaml."""

    score: float
    most: int
    iou: float
    agnostic: bool
    classes: tuple[int, ...]
    draw: bool
    crops: bool


class Detector(Model):
    """Boxes from the network's outputs, as model.yaml's `outputs` describes them."""

    parameters = _OF_TEXT | _OF_CLASSES

    def __init__(self, spec: ModelSpec, directory: Path) -> None:
        super().__init__(spec, directory)
        if isinstance(spec.outputs, TextOutputs):
            self.parameters = _OF_TEXT

    @cached_property
    def _outputs(self) -> DetectionOutputs:
        outputs = self.spec.outputs
        # config.json has the number of classes, from which the decoder tells the activation. An
        # export of such a network has it as labels.
        from_config = self.spec.kind == "huggingface" or self.spec.variant_of is not None
        if isinstance(outputs, DetrOutputs) and not from_config:
            return outputs.model_copy(update={"activation": outputs.activation or "softmax"})
        if outputs is None or isinstance(outputs, SegmentationOutputs | ClassOutputs):
            return DetrOutputs(family="detr")
        return outputs

    @cached_property
    def _classes(self) -> Classes:
        if isinstance(self._outputs, TextOutputs):
            return Classes(self.spec.labels[:1] or (_TEXT,), 1)
        return Classes(self.spec.labels or self.network.labels(), self._outputs.class_count)

    @cached_property
    def _decoder(self) -> Decoder:
        return make_decoder(self._outputs, self._classes.count)

    def check_outputs(self, outputs: Arrays) -> None:
        """Check that the outputs of a pass are those that model.yaml's `outputs` describes.

        Raises:
            ModelError: they are not. It says what was found and what was expected.
        """
        try:
            self._decoder.check(outputs)
        except OutputsError as error:
            raise self._error(f"its outputs do not fit model.yaml: {error}") from None

    def check_parameters(self, parameters: Parameters) -> None:
        """Check the values of `score`, `iou`, `max`, `classes`, `agnostic`, `draw` and `crops`.

        Raises:
            ParameterError: a value is not allowed, or another name is given.
        """
        super().check_parameters(parameters)
        self._wishes(parameters)

    def _wishes(self, given: Parameters) -> _Wishes:
        spec = self._outputs
        iou, agnostic = 1.0, False
        if not isinstance(spec, TextOutputs):
            iou, agnostic = spec.used_iou, spec.agnostic
        return _Wishes(
            score=fraction(given, "score", spec.score),
            most=whole(given, "max", spec.max, MAX_BOXES),
            iou=fraction(given, "iou", iou),
            agnostic=flag(given, "agnostic", agnostic),
            classes=self._classes.chosen(given, "classes"),
            draw=flag(given, "draw", spec.draw),
            crops=flag(given, "crops", spec.crops),
        )

    def preprocess(self, image: Image, parameters: Parameters) -> dict[str, Array]:
        """Return `image`: (C, H, W) float32, normalised by model.yaml's `input`."""
        del parameters
        return {"image": as_input(image, self.spec.input)}

    def forward(self, batch: Arrays, taps: Sequence[str] = ()) -> dict[str, Array]:
        """Run the network once. Arguments, outputs and errors are those of `Model.forward`."""
        if not isinstance(self._outputs, NamedOutputs) or self._outputs.batched:
            return super().forward(batch, taps)
        found = super().forward({name: array[0] for name, array in batch.items()}, taps)
        return {name: array[None] for name, array in found.items()}

    def postprocess(self, output: Arrays, image: Image, parameters: Parameters) -> Prediction:
        """Return the boxes, the best score first, and if asked for, a drawn picture and crops.

        The values are {"boxes": [{"label": text, "score": 0..1, "box": [x0, y0, x1, y1]}, ...]}.
        Those of text have a `polygon` as well, the four corners of the rotated box. Coordinates
        are px of the image from its top left corner, and within the image.
        """
        wishes = self._wishes(parameters)
        place = placement_of(image.shape[0], image.shape[1], self.spec.input)
        size = (place.input_height, place.input_width)
        found = self._detections(self._decoder.decode(output, size, wishes.score), wishes, place)
        return Prediction(
            image=draw_boxes(image, found) if wishes.draw else None,
            values={"boxes": [each.document() for each in found]},
            pictures=cut_out(image, found) if wishes.crops else {},
        )

    def _detections(
        self, candidates: Candidates, wishes: _Wishes, place: Placement
    ) -> list[Detection]:
        """Return the chosen boxes in px of the image, the best score first."""
        if wishes.classes:
            candidates = candidates.only(np.isin(candidates.classes, wishes.classes))
        boxes = place.boxes_to_image(candidates.boxes)
        visible = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        candidates, boxes = candidates.only(visible), boxes[visible]
        groups = None if wishes.agnostic else candidates.classes
        chosen = nms(candidates.boxes, candidates.scores, groups, wishes.iou, wishes.most)
        polygons = candidates.polygons
        return [
            Detection(
                number=int(candidates.classes[each]),
                label=self._classes.name(int(candidates.classes[each])),
                score=float(candidates.scores[each]),
                box=boxes[each],
                polygon=None if polygons is None else place.to_image(polygons[each]),
            )
            for each in chosen
        ]
