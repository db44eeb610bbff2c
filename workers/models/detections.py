"""The boxes that a detector finds in an image: as JSON, as a drawn picture, and cut out."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt

from agewell.workers.imaging.image import Image

Floats = npt.NDArray[np.float64]

_NAME_MAX = 40
_UNSAFE = re.compile(r"[^\w-]+")


@dataclass(frozen=True)
class Detection:
    """One object in an image. Coordinates are px from the image's top left corner."""

    number: int  # of the class
    label: str
    score: float  # 0..1
    box: Floats  # (4,), x0, y0, x1, y1
    polygon: Floats | None = None  # (4, 2), the corners of a rotated box

    def document(self) -> dict[str, Any]:
        """Return the object as JSON values, coordinates to a thousandth of a pixel."""
        values: dict[str, Any] = {
            "label": self.label,
            "score": round(self.score, 6),
            "box": self.box.round(3).tolist(),
        }
        if self.polygon is not None:
            values["polygon"] = self.polygon.round(3).tolist()
        return values


def cut_out(image: Image, found: Sequence[Detection]) -> dict[str, Image]:
    """Cut out the part of the image within each box. Rotated boxes become upright.

    Args:
        image: (H, W, 3) uint8 BGR.
        found: the boxes, within the image.

    Returns:
        Pictures by names such as `crop-1-dog`, with the place of the box, from 1, and its label.
    """
    return {
        f"crop-{place}-{_file_name(each.label)}": _part(image, each)
        for place, each in enumerate(found, 1)
    }


def paired_boxes(
    first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]], iou: float = 0.5
) -> int:
    """Count the boxes that two detectors both find.

    Args:
        first: boxes as `Detection.document` returns them, the best score first.
        second: those of the other detector. Each is in one pair at most.
        iou: the least intersection over union of a pair. The labels of a pair are the same.
    """
    left = list(second)
    for each in first:
        rivals = [(_overlap(each["box"], other["box"]), other) for other in left]
        fitting = [pair for pair in rivals if pair[1]["label"] == each["label"] and pair[0] >= iou]
        if fitting:
            left.remove(max(fitting, key=lambda pair: pair[0])[1])
    return len(second) - len(left)


def _overlap(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the intersection over union of two boxes."""
    width = max(0.0, min(first[2], second[2]) - max(first[0], second[0]))
    height = max(0.0, min(first[3], second[3]) - max(first[1], second[1]))
    areas = [(each[2] - each[0]) * (each[3] - each[1]) for each in (first, second)]
    union = sum(areas) - width * height
    return width * height / union if union > 0 else 0.0


def _part(image: Image, found: Detection) -> Image:
    if found.polygon is not None:
        return _upright(image, found.polygon)
    low = np.floor(found.box[:2]).astype(int)
    high = np.maximum(np.ceil(found.box[2:]).astype(int), low + 1)
    return image[low[1] : high[1], low[0] : high[0]]


def _upright(image: Image, polygon: Floats) -> Image:
    """Turn a rotated box upright: its first corner becomes the top left one."""
    width, height = (
        max(1, round(float(np.linalg.norm(polygon[end] - polygon[0])))) for end in (1, 3)
    )
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    # OpenCV's coordinates are those of the centres of pixels.
    matrix = cv2.getPerspectiveTransform((polygon - 0.5).astype(np.float32), target - 0.5)
    turned = cv2.warpPerspective(
        image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return cast(Image, turned)


def _file_name(label: str) -> str:
    return _UNSAFE.sub("-", label).strip("-")[:_NAME_MAX] or "object"
