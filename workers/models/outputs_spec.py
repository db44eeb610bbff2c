"""The field `outputs` of `model.yaml`: how a network's outputs are read."""

from typing import Annotated, Final, Literal

from pydantic import Field

from agewell.workers.models.input_spec import Document, PositiveInt

MAX_BOXES: Final = 1000
"""The most boxes of one image that a job may ask for."""

Fraction = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(min_length=1)]

_IOU: Final = {"yolov5": 0.45, "yolov8": 0.7}
"""The defaults of the families whose boxes need non-maximum suppression."""


class _Boxes(Document):
    """Fields of every detector: the defaults of its jobs' parameters."""

    score: Fraction = Field(default=0.25, description="the lowest score of a box that is returned")
    max: Annotated[int, Field(ge=1, le=MAX_BOXES)] = Field(
        default=300, description="the most boxes of one image, those with the best scores"
    )
    draw: bool = Field(default=True, description="return the image with the boxes drawn on it")
    crops: bool = Field(default=False, description="return the part within each box as a file")


class _ClassBoxes(_Boxes):
    """Fields of detectors of several classes."""

    class_count: PositiveInt | None = Field(
        default=None,
        description="number of classes of the network; default: that of the labels. Classes beyond "
        "the labels are named by their number",
    )
    iou: Fraction | None = Field(
        default=None,
        description="non-maximum suppression drops a box whose intersection over union with a "
        "better box is above this; 1 drops none. Default: 0.45 for yolov5, 0.7 for yolov8, 1 for "
        "other families",
    )
    agnostic: bool = Field(
        default=False, description="boxes of different classes suppress each other, too"
    )

    @property
    def used_iou(self) -> float:
        """The value of `iou`, or the family's default."""
        return _IOU.get(getattr(self, "family", ""), 1.0) if self.iou is None else self.iou


class YoloOutputs(_ClassBoxes):
    """One output of the YOLO family, with the batch as first axis.

    Boxes are the centre, the width and the height in px of the input. Those of yolov10 are corners.
    """

    family: Literal["yolov5", "yolov8", "yolov10"] = Field(
        description="yolov5: (N, boxes, 5 + classes) with objectness, also v6 and v7. yolov8: "
        "(N, 4 + classes, boxes), also v9, v11 and v12. yolov10: (N, boxes, 6), x0, y0, x1, y1, "
        "score, class, chosen by the network itself"
    )
    output: Name | None = Field(
        default=None, description="name of the output; default: the only one with three axes"
    )
    transposed: bool = Field(
        default=False, description="the last two axes of the output are the other way round"
    )
    activation: Literal["none", "sigmoid"] = Field(
        default="none", description="what turns the network's scores into 0..1"
    )


class DetrOutputs(_ClassBoxes):
    """Two outputs of the DETR family: logits (N, queries, classes) and boxes (N, queries, 4).

    Boxes are the centre, the width and the height as fractions of the input.
    """

    family: Literal["detr"]
    logits: Name | None = Field(
        default=None, description="name of the logits; default: logits or pred_logits"
    )
    boxes: Name | None = Field(
        default=None, description="name of the boxes; default: pred_boxes or boxes"
    )
    activation: Literal["softmax", "sigmoid"] | None = Field(
        default=None,
        description="softmax, if the last logit means no object, as in DETR and YOLOS; sigmoid, as "
        "in Deformable DETR and RT-DETR. Default: softmax; for kind huggingface, the one that fits "
        "config.json",
    )
    score: Fraction = Field(default=0.5, description="the lowest score of a box that is returned")


class NamedOutputs(_ClassBoxes):
    """Three outputs of SSD and torchvision: boxes (N, M, 4), labels (N, M) and scores (N, M)."""

    family: Literal["boxes"]
    boxes: Name = Field(default="boxes", description="name of the output with boxes")
    labels: Name = Field(default="labels", description="name of the output with class numbers")
    scores: Name = Field(default="scores", description="name of the output with scores, 0..1")
    format: Literal["xyxy", "yxyx", "xywh", "cxcywh"] = Field(
        default="xyxy",
        description="the four numbers of a box: corners, or the top left corner or the centre with "
        "width and height",
    )
    units: Literal["pixels", "fractions"] = Field(
        default="pixels", description="pixels, or fractions of the input's width and height"
    )
    first_class: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="the network's number of the first label: 1, if its 0 is the background",
    )
    batched: bool = Field(
        default=True,
        description="false: the network takes one image without a batch axis, and returns its M "
        "boxes without one, as exports of torchvision do; max_batch_size must be 1",
    )


class TextOutputs(_Boxes):
    """One output of a text detector such as DBNet: a map (N, 1, h, w) of probabilities."""

    family: Literal["text"]
    output: Name | None = Field(
        default=None, description="name of the output; default: the only one with four axes"
    )
    threshold: Fraction = Field(
        default=0.3, description="pixels of the map above this belong to text"
    )
    score: Fraction = Field(
        default=0.6, description="the lowest mean of the map within a box that is returned"
    )
    max: Annotated[int, Field(ge=1, le=MAX_BOXES)] = Field(
        default=MAX_BOXES, description="the most boxes of one image, those with the best scores"
    )
    unclip: Annotated[float, Field(ge=0, le=10)] = Field(
        default=1.5,
        description="boxes grow by area * unclip / perimeter on each side, because the network is "
        "trained to find text smaller than it is",
    )
    min_side: Annotated[float, Field(ge=0)] = Field(
        default=3.0, description="the shortest side of a box before it grows, in px of the map"
    )


class SegmentationOutputs(Document):
    """One output of a segmenter: (N, classes, h, w).

    With one class, it is the logit of that class. Class 0 then is everything else.
    """

    family: Literal["semantic"] = "semantic"
    output: Name | None = Field(
        default=None, description="name of the output; default: the only one with four axes"
    )
    class_count: Annotated[int, Field(ge=1, le=256)] | None = Field(
        default=None,
        description="number of classes of the network; default: that of the labels. Classes beyond "
        "the labels are named by their number",
    )
    activation: Literal["none", "softmax", "sigmoid"] = Field(
        default="softmax",
        description="what turns values into probabilities; none, if they are probabilities. With "
        "one class, softmax counts as sigmoid",
    )


class ClassOutputs(Document):
    """One output of a classifier: (N, classes), or (N, 1) for yes and no."""

    family: Literal["classes"]
    output: Name | None = Field(default=None, description="name of the output; default: the first")
    class_count: PositiveInt | None = Field(
        default=None,
        description="number of classes of the network; default: that of the labels. Classes beyond "
        "the labels are named by their number",
    )
    activation: Literal["none", "softmax", "sigmoid"] | None = Field(
        default=None,
        description="what turns values into probabilities: softmax, if an image has one class; "
        "sigmoid, if it may have several; none, if they are probabilities. Default: softmax, "
        "unless the values of the warm-up are probabilities already; for kind huggingface, the one "
        "that fits config.json",
    )


DetectionOutputs = YoloOutputs | DetrOutputs | NamedOutputs | TextOutputs
Outputs = Annotated[
    DetectionOutputs | SegmentationOutputs | ClassOutputs, Field(discriminator="family")
]

TASK_OF_FAMILY: Final = dict.fromkeys(
    ("yolov5", "yolov8", "yolov10", "detr", "boxes", "text"), "detection"
) | {"semantic": "segmentation", "classes": "classification"}
