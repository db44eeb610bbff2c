"""Resample images by a kernel that grows with the scale, so that reduced images do not alias.

OpenCV's interpolations read the same few pixels at any scale. A picture reduced to a tenth then
skips most of its pixels.

Rows and columns are resampled one after the other. Each is a product of matrices: most time is
spent in the BLAS library that numpy brings. A 1080p image to 800 x 450 takes about 20 ms on one
core, a third less than in Pillow.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

import cv2
import numpy as np
import numpy.typing as npt

from agewell.workers.imaging.alpha import Pixels
from agewell.workers.imaging.geometry import Size

_Floats = npt.NDArray[np.float64]

_ROWS: Final = 16  # result rows computed at a time: few, as the matrix of weights is mostly zeros


@dataclass(frozen=True)
class Kernel:
    """A function of the distance to a pixel, in pixels. It is zero from ``radius`` on."""

    radius: int
    weight: Callable[[_Floats], _Floats]


TRIANGLE: Final = Kernel(1, lambda x: 1 - np.abs(x))
"""Linear interpolation. If it reduces, a weighted mean of the pixels around."""

LANCZOS: Final = Kernel(3, lambda x: np.sinc(x) * np.sinc(x / 3))
"""Lanczos with three lobes.

Source: Duchon, "Lanczos filtering in one and two dimensions", Journal of Applied Meteorology 18,
1979.
"""


def resample_by(kernel: Kernel, pixels: Pixels, size: Size) -> Pixels:
    """Resample to another size. The result equals Pillow's, except for single roundings.

    Args:
        kernel: the weights.
        pixels: (H, W), (H, W, 3) or (H, W, 4); uint8, or float32 with premultiplied alpha.
        size: width and height of the result, px.

    Returns:
        Pixels of the same kind. uint8 is rounded and clipped, after each of the two directions.
    """
    width, height = size
    if width != pixels.shape[1]:
        turned = cast(Pixels, cv2.transpose(pixels))
        pixels = cast(Pixels, cv2.transpose(_resample_rows(kernel, turned, width)))
    return pixels if height == len(pixels) else _resample_rows(kernel, pixels, height)


def _resample_rows(kernel: Kernel, pixels: Pixels, height: int) -> Pixels:
    """Make (height, W, ...) of (H, W, ...)."""
    result = np.empty((height, *pixels.shape[1:]), pixels.dtype)
    given, made = pixels.reshape(len(pixels), -1), result.reshape(height, -1)
    for top in range(0, height, _ROWS):
        rows = slice(top, min(top + _ROWS, height))
        sources, weights = _weights(kernel, rows, len(given) / height, len(given))
        mean = weights @ given[sources].astype(np.float32)
        if made.dtype == np.uint8:
            mean += 0.5  # the cast below rounds down
            np.clip(mean, 0, 255, out=mean)
        made[rows] = mean
    return result


def _weights(
    kernel: Kernel, rows: slice, scale: float, given: int
) -> tuple[slice, npt.NDArray[np.float32]]:
    """Return the source rows that some result rows are made of, and the weights of each.

    Args:
        kernel: the weights by distance.
        rows: the result rows.
        scale: source rows for one result row.
        given: the number of source rows.
    """
    stretch = max(scale, 1.0)
    centres = (np.arange(rows.start, rows.stop) + 0.5) * scale
    reach = kernel.radius * stretch
    sources = slice(
        max(0, int(centres[0] - reach)), min(given, int(np.ceil(centres[-1] + reach)) + 1)
    )
    distance = (np.arange(sources.start, sources.stop) + 0.5 - centres[:, None]) / stretch
    weights = np.where(np.abs(distance) < kernel.radius, kernel.weight(distance), 0)
    weights /= weights.sum(axis=1, keepdims=True)
    return sources, weights.astype(np.float32)
