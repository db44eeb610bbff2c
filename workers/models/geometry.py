"""The place of an image in a network's input, and the way back from there to the image."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from agewell.workers.models.input_spec import InputSpec
from agewell.workers.models.letterbox import Window, letterbox_window
from agewell.workers.models.preprocess import (
    cuts_before,
    fitting_size,
    proportioned_size,
    size_before_cut,
    size_to_cut,
)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Placement:
    """How `preprocess.fit` maps an image to an input: x' = x * scale_x + left, and so for y.

    Coordinates are those of px edges: 0 is the left edge of an image, and its width the right one.
    """

    height: int  # px, of the image
    width: int
    input_height: int  # px
    input_width: int
    scale_x: float
    scale_y: float
    left: float  # px of the input
    top: float
    window: Window
    """The place in the input of the part that was resized, px. It may reach beyond the input."""

    @property
    def shows_all(self) -> bool:
        """True if the whole image is in the input."""
        corners = [[0, 0], [self.input_width, self.input_height]]
        edges = (np.array(corners) - (self.left, self.top)) / (self.scale_x, self.scale_y)
        low, high = edges.round(6)
        return bool((low <= 0).all() and (high >= (self.width, self.height)).all())

    def to_image(self, points: npt.NDArray[Any]) -> Floats:
        """Convert points of the input to points of the image, clipped to the image.

        Args:
            points: (..., 2), x and y in px of the input.
        """
        moved = np.asarray(points, np.float64) - (self.left, self.top)
        return np.clip(moved / (self.scale_x, self.scale_y), 0, (self.width, self.height))

    def boxes_to_image(self, boxes: npt.NDArray[Any]) -> Floats:
        """Convert boxes, (N, 4) x0, y0, x1, y1, like the points of their corners."""
        return self.to_image(np.reshape(boxes, (-1, 2, 2))).reshape(-1, 4)


def placement_of(height: int, width: int, spec: InputSpec) -> Placement:
    """Return the place of an image in the network's input.

    Args:
        height: px, of the image.
        width: px, of the image.
        spec: model.yaml's `input`.
    """
    size = spec.size or fitting_size(height, width, spec)
    shown, part = _shown(height, width, spec), _part(height, width, spec)
    scale_x, scale_y = part.width / shown.width, part.height / shown.height
    return Placement(
        height=height,
        width=width,
        input_height=size[0],
        input_width=size[1],
        scale_x=scale_x,
        scale_y=scale_y,
        left=part.left - shown.left * scale_x,
        top=part.top - shown.top * scale_y,
        window=part,
    )


def _shown(height: int, width: int, spec: InputSpec) -> Window:
    """Return the part of the image that is resized."""
    size = height, width
    if cuts_before(spec):
        size = size_before_cut(height, width)
    elif spec.size is not None and spec.fit == "crop":
        size = proportioned_size(height, width, spec.size)
    return Window((width - size[1]) // 2, (height - size[0]) // 2, size[1], size[0])


def _part(height: int, width: int, spec: InputSpec) -> Window:
    """Return the place in the input of that part. It may reach beyond the input."""
    if spec.size is None:
        size = fitting_size(height, width, spec)
        return Window(0, 0, size[1], size[0])
    if spec.resize is not None:
        rows, columns = size_to_cut(height, width, spec)
        # Rounded as preprocess.cut_centre does, whether it cuts or pads.
        left, top = -((columns - spec.size[1]) // 2), -((rows - spec.size[0]) // 2)
        return Window(left, top, columns, rows)
    if spec.fit == "letterbox":
        return letterbox_window(height, width, spec.size)
    return Window(0, 0, spec.size[1], spec.size[0])
