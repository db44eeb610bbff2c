"""Decoders: from a network's outputs to boxes, one module for each family of detectors."""

from agewell.workers.models.decoding.decoder import Decoder
from agewell.workers.models.decoding.detr import DetrDecoder
from agewell.workers.models.decoding.named import NamedDecoder
from agewell.workers.models.decoding.text import TextDecoder
from agewell.workers.models.decoding.yolo import YoloDecoder
from agewell.workers.models.outputs_spec import (
    DetectionOutputs,
    DetrOutputs,
    NamedOutputs,
    TextOutputs,
    YoloOutputs,
)


def make_decoder(outputs: DetectionOutputs, class_count: int | None) -> Decoder:
    """Return the decoder for the outputs of a detector.

    Args:
        outputs: model.yaml's `outputs`.
        class_count: number of classes of the network. None: unknown.
    """
    match outputs:
        case YoloOutputs():
            return YoloDecoder(outputs, class_count)
        case DetrOutputs():
            return DetrDecoder(outputs, class_count)
        case NamedOutputs():
            return NamedDecoder(outputs, class_count)
        case TextOutputs():
            return TextDecoder(outputs)
