"""Convert images to the usual inputs of networks, by model.yaml's `input`."""

import math
from collections.abc import Callable, Mapping
from typing import Final, cast

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

from agewell.workers.imaging.image import Image
from agewell.workers.models.input_spec import InputSpec, Resample
from agewell.workers.models.letterbox import letterbox_window, pad_to

Float = npt.NDArray[np.float32]

_CONVERSIONS = {"rgb": cv2.COLOR_BGR2RGB, "gray": cv2.COLOR_BGR2GRAY}
_ROUNDINGS: Final[Mapping[str, Callable[[float], int]]] = {
    "nearest": round,
    "up": math.ceil,
    "down": math.floor,
}
_LONGEST: Final = 64
"""If a centre is cut out of an image that is longer than this many times its shorter side, the ends
of the image go first. Resized whole, a line of 65,535 pixels would take gigabytes."""


def as_input(image: Image, spec: InputSpec) -> Float:
    """Convert an image to a network's input as model.yaml's `input` describes it.

    Args:
        image: (H, W, 3) uint8 BGR.
        spec: the size, the order of the channels, and what is done with their values.

    Returns:
        (C, height, width) float32: (value * scale + offset - mean) / std.
    """
    fitted = fit(image, spec)
    if spec.colours in _CONVERSIONS:
        fitted = cast(Image, cv2.cvtColor(fitted, _CONVERSIONS[spec.colours]))
    planes = fitted[None] if fitted.ndim == 2 else fitted.transpose(2, 0, 1)
    std = np.asarray(spec.std)
    scale = (spec.scale / std).astype(np.float32)
    shift = ((spec.offset - np.asarray(spec.mean)) / std).astype(np.float32)
    return np.ascontiguousarray(planes * scale[:, None, None] + shift[:, None, None])


def fit(image: Image, spec: InputSpec) -> Image:
    """Resize an image to a network's fixed size, or to the nearest size that it accepts.

    Args:
        image: (H, W, 3) uint8 BGR.
        spec: the size, or the limits of the size.
    """
    height, width = image.shape[:2]
    if spec.size is None:
        return resized(image, *fitting_size(height, width, spec), spec.resample)
    if spec.resize is not None:
        return cut_centre(_resized_to_cut(image, spec), *spec.size)
    if spec.fit == "letterbox":
        window = letterbox_window(height, width, spec.size)
        shown = resized(image, window.height, window.width, spec.resample)
        return pad_to(shown, window, spec.size, spec.pad)
    if spec.fit == "crop":
        image = _proportioned(image, spec.size)
    return resized(image, *spec.size, spec.resample)


def fitting_size(height: int, width: int, spec: InputSpec) -> tuple[int, int]:
    """Return the accepted size for a picture, for networks without a fixed size.

    Args:
        height: px, of the picture.
        width: px, of the picture.
        spec: `resize`, `max_side`, `multiple` and `rounding` are used.

    Returns:
        (height, width) in px, multiples of `multiple`. It is scaled down if a side is above
        `max_side`.
    """
    step = spec.multiple
    if spec.resize is False:
        return height, width
    if isinstance(spec.resize, int):
        rows, columns = size_by_shorter_side(height, width, spec.resize, spec.max_side)
        return _rounded(rows, spec), _rounded(columns, spec)
    scale = min(1.0, spec.max_side / max(height, width))
    most = max(step, spec.max_side // step * step)
    return min(most, _rounded(height * scale, spec)), min(most, _rounded(width * scale, spec))


def _rounded(side: float, spec: InputSpec) -> int:
    count = _ROUNDINGS[spec.rounding](side / spec.multiple)
    return max(1, count) * spec.multiple


def input_pixels(image: Image, spec: InputSpec) -> int:
    """Return the pixels of an image in a pass, by which batches are limited.

    They are those of the network's input if its size follows from model.yaml, or else those of the
    image, because a model may prepare its images in another way.
    """
    height, width = int(image.shape[0]), int(image.shape[1])
    if spec.size is not None:
        height, width = spec.size
    elif spec.resize is not None:
        height, width = fitting_size(height, width, spec)
    return height * width


def size_by_shorter_side(
    height: int, width: int, side: int, max_side: int | None = None
) -> tuple[int, int]:
    """Return the size of a picture whose shorter side becomes `side`, in its proportions.

    The longer side is rounded down, as torchvision and transformers do. If it were above
    `max_side`, the picture is made as much smaller.
    """
    short, long = min(height, width), max(height, width)
    exact = float(side)
    if max_side is not None and long / short * side > max_side:
        exact = max_side * short / long
    new_short = max(1, round(exact))
    # As in transformers: if the shorter side has its length already, the longer one stays too.
    new_long = long if new_short == short else max(1, int(exact * long / short))
    return (new_short, new_long) if height <= width else (new_long, new_short)


def resized(image: Image, height: int, width: int, resample: Resample | None = None) -> Image:
    """Resize an image.

    Args:
        image: (H, W, 3) or (H, W) uint8.
        height: px.
        width: px.
        resample: Pillow's filter of this name. Without it, OpenCV resizes: by area averages if the
            image becomes smaller, else by bilinear interpolation.
    """
    if image.shape[:2] == (height, width):
        return image
    if resample is not None:
        filtered = Pillow.fromarray(image).resize(
            (width, height), Pillow.Resampling[resample.upper()]
        )
        return np.asarray(filtered)
    shrinks = height * width < image.shape[0] * image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cast(Image, cv2.resize(image, (width, height), interpolation=method))


def cut_centre(image: Image, height: int, width: int) -> Image:
    """Cut the centre out of an image. The result is black where the image is smaller.

    Odd differences are rounded as in transformers: cut less at the top and left, pad more there.
    """
    spare = image.shape[0] - height, image.shape[1] - width
    top, left = (max(0, each // 2) for each in spare)
    image = image[top : top + height, left : left + width]
    if min(spare) >= 0:
        return image
    above, before = (max(0, -(each // 2)) for each in spare)
    padded = np.zeros((height, width, *image.shape[2:]), image.dtype)
    padded[above : above + image.shape[0], before : before + image.shape[1]] = image
    return padded


def _resized_to_cut(image: Image, spec: InputSpec) -> Image:
    height, width = image.shape[:2]
    if cuts_before(spec):
        image = cut_centre(image, *size_before_cut(height, width))
    return resized(image, *size_to_cut(height, width, spec), spec.resample)


def cuts_before(spec: InputSpec) -> bool:
    """Return True if the ends of a very long image go before it is resized."""
    return spec.size is not None and type(spec.resize) is int


def size_before_cut(height: int, width: int) -> tuple[int, int]:
    """Return the size without the ends of a very long image, (height, width) in px."""
    longest = _LONGEST * min(height, width)
    return min(height, longest), min(width, longest)


def size_to_cut(height: int, width: int, spec: InputSpec) -> tuple[int, int]:
    """Return the size from which the centre is cut out, (height, width) in px."""
    if isinstance(spec.resize, tuple):
        return spec.resize
    if spec.resize is None or spec.resize is False:
        return height, width
    return size_by_shorter_side(*size_before_cut(height, width), spec.resize)


def _proportioned(image: Image, size: tuple[int, int]) -> Image:
    """Cut out the largest centred part of an image with the proportions of a size."""
    height, width = image.shape[:2]
    return cut_centre(image, *proportioned_size(height, width, size))


def proportioned_size(height: int, width: int, size: tuple[int, int]) -> tuple[int, int]:
    """Return the largest size within a picture that has the proportions of another size."""
    scale = min(height / size[0], width / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
