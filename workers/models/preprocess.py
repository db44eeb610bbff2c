"""Convert images to the usual inputs of networks, by model.yaml's `input`."""

from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from agewell.workers.imaging.image import Image
from agewell.workers.models.input_spec import InputSpec
from agewell.workers.models.letterbox import Window, letterbox_window, pad_to

Float = npt.NDArray[np.float32]

_CONVERSIONS = {"rgb": cv2.COLOR_BGR2RGB, "gray": cv2.COLOR_BGR2GRAY}


def as_input(image: Image, spec: InputSpec) -> Float:
    """Convert an image to a network's input as model.yaml's `input` describes it.

    Args:
        image: (H, W, 3) uint8 BGR.
        spec: the size, the order of the channels, and their mean and standard deviation.

    Returns:
        (C, height, width) float32: (value / 255 - mean) / std.
    """
    fitted = fit(image, spec)
    if spec.colours in _CONVERSIONS:
        fitted = cast(Image, cv2.cvtColor(fitted, _CONVERSIONS[spec.colours]))
    planes = fitted[None] if fitted.ndim == 2 else fitted.transpose(2, 0, 1)
    scale = (1 / 255 / np.asarray(spec.std, np.float32)).astype(np.float32)
    shift = -np.asarray(spec.mean, np.float32) / np.asarray(spec.std, np.float32)
    return np.ascontiguousarray(planes * scale[:, None, None] + shift[:, None, None])


def fit(image: Image, spec: InputSpec) -> Image:
    """Resize an image to a network's fixed size, or to the nearest size that it accepts.

    Args:
        image: (H, W, 3) uint8 BGR.
        spec: the size, or the limits of the size.
    """
    height, width = image.shape[:2]
    if spec.size is None:
        return resized(image, *fitting_size(height, width, spec))
    if spec.fit == "letterbox":
        window = letterbox_window(height, width, spec.size)
        return pad_to(resized(image, window.height, window.width), window, spec.size, spec.pad)
    if spec.fit == "crop":
        part = centre_window(height, width, spec.size)
        image = image[part.top : part.top + part.height, part.left : part.left + part.width]
    return resized(image, *spec.size)


def fitting_size(height: int, width: int, spec: InputSpec) -> tuple[int, int]:
    """Return the nearest accepted size for a picture, for networks without a fixed size.

    Args:
        height: px, of the picture.
        width: px, of the picture.
        spec: `max_side` and `multiple` are used.

    Returns:
        (height, width) in px, multiples of `multiple`. It is scaled down if a side is above
        `max_side`.
    """
    scale = min(1.0, spec.max_side / max(height, width))
    step = spec.multiple
    most = max(step, spec.max_side // step * step)
    return (
        min(most, max(step, round(height * scale / step) * step)),
        min(most, max(step, round(width * scale / step) * step)),
    )


def resized(image: Image, height: int, width: int) -> Image:
    """Resize an image: by area averages if it becomes smaller, else by bilinear interpolation."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = height * width < image.shape[0] * image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cast(Image, cv2.resize(image, (width, height), interpolation=method))


def centre_window(height: int, width: int, size: tuple[int, int]) -> Window:
    """Return the largest centred part of an image with the proportions of a size.

    Args:
        height: px, of the image.
        width: px, of the image.
        size: (height, width) in px.
    """
    scale = min(height / size[0], width / size[1])
    part_h, part_w = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    return Window((width - part_w) // 2, (height - part_h) // 2, part_w, part_h)
