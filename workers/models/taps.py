"""Taps: an intermediate of a network as a file of numbers, and as a heat map over the image."""

import io
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt

from agewell.workers.imaging.image import Image
from agewell.workers.models.arrays import Array

Float = npt.NDArray[np.float32]

_SHARE = 0.6  # weight of the heat map; the rest is the image


def as_npz(name: str, array: Array) -> bytes:
    """Write an array as an .npz file under its tap's name. `numpy.load` reads it."""
    file = io.BytesIO()
    arrays: dict[str, Any] = {name: array}
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def heat_map(array: Array, image: Image) -> Image:
    """Draw the magnitude of an intermediate as a heat map over the image.

    Args:
        array: (C, h, w) or (h, w, C), a map with channels. The order is chosen by the proportions
            of the image. (T, D), tokens: they form a map if their number fits the proportions of
            the image, else each token is a row. (D,), features.
        image: (H, W, 3) uint8 BGR.

    Returns:
        (H, W, 3) uint8 BGR, the mean magnitude over the channels, dark for small values. Values
        that are not finite count as 0.
    """
    strength = _map(np.abs(_finite(array)), *image.shape[:2])
    low, high = float(strength.min()), float(strength.max())
    scaled = (strength - low) * (255 / (high - low) if high > low else 0)
    height, width = image.shape[:2]
    colours = cv2.applyColorMap(scaled.astype(np.uint8), cv2.COLORMAP_INFERNO)
    enlarged = cv2.resize(colours, (width, height), interpolation=cv2.INTER_CUBIC)
    return cast(Image, cv2.addWeighted(enlarged, _SHARE, image, 1 - _SHARE, 0))


def _finite(array: Array) -> Float:
    return np.nan_to_num(array.astype(np.float32), nan=0, posinf=0, neginf=0)


def _map(magnitude: Float, height: int, width: int) -> Float:
    """Reduce an array of magnitudes to two axes, (rows, columns)."""
    if magnitude.ndim == 3 and _channels_are_last(magnitude.shape, height / width):
        return cast(Float, magnitude.mean(axis=2))
    if magnitude.ndim >= 3:
        return cast(Float, magnitude.reshape(-1, *magnitude.shape[-2:]).mean(axis=0))
    if magnitude.ndim == 2:
        rows = _rows_of(magnitude.shape[0], height / width)
        return cast(Float, magnitude.mean(axis=1).reshape(rows, -1)) if rows else magnitude
    return magnitude.reshape(1, -1)


def _channels_are_last(shape: tuple[int, ...], proportion: float) -> bool:
    """Return True if the first two axes fit the image's proportions better than the last two."""
    first, last = (abs(np.log(h / w / proportion)) for h, w in (shape[:2], shape[1:]))
    return bool(first < last)


def _rows_of(tokens: int, proportion: float) -> int | None:
    """Return the number of rows of a map of tokens, or None if none fits the proportions."""
    rows = round((tokens * proportion) ** 0.5)
    near = [n for n in range(max(1, rows - 1), rows + 2) if tokens % n == 0]
    best = min(near, key=lambda n: abs(n * n / tokens - proportion), default=None)
    return best if best and 0.5 < best * best / tokens / proportion < 2 else None
