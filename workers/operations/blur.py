"""Blur an image with a Gaussian, in a time that does not grow with a large sigma."""

from typing import Annotated, Final, cast

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from agewell.workers.imaging.alpha import (
    Pixels,
    Premultiplied,
    is_opaque,
    premultiply,
    unpremultiply,
)
from agewell.workers.imaging.channels import channels, split_alpha
from agewell.workers.imaging.image import Image
from agewell.workers.operations.declaration import operation

Sigma = Annotated[float, Field(ge=0.1, le=500)]
"""The standard deviation of a Gaussian, px."""

_LEAST_SIGMA: Final = 4.0  # in pixels of a reduced image
_REACH: Final = 4  # the kernel ends at this many sigmas, where it is 1/3000 of its peak
_STEPS: Final = 256  # in which a value of 0..255 is kept until its last rounding
_ROWS: Final = 256  # rows in float32 at a time, so that they need little memory
_EDGES: Final = cv2.BORDER_REPLICATE

Kernel = npt.NDArray[np.float64]


@operation
def blur(image: Image, *, sigma: Sigma) -> Image:
    """Blur an image with a Gaussian.

    Each pixel becomes the mean of its neighbours, weighted by exp(-d² / (2 sigma²)) at the distance
    of d px. Outside the image, the pixels of its edges repeat. Colours are weighted by their alpha,
    so the colour of an invisible pixel does not show.

    A sigma of 8 px or more is computed on a reduced image, so that it takes no longer than a small
    one. Below 8 px, a result differs from the formula by at most 0.52, mostly by its rounding. From
    8 px, it differs by at most 2. Colours of nearly transparent pixels can differ by as much times
    255 / alpha. Pixels whose alpha is rounded to 0 are black.

    Args:
        image: the image to blur.
        sigma: the standard deviation of the Gaussian, px.

    Returns:
        uint8, the shape of the image.

    Raises:
        UnsupportedPixelsError: the array is not an image.

    Source: for the reduced image, Burt and Adelson, "The Laplacian pyramid as a compact image
    code", IEEE Transactions on Communications 31(4), 1983.
    """
    if channels(image, "image") == 4 and is_opaque(image):
        colours, alpha = split_alpha(image, "image")
        return cast(Image, cv2.merge([blur(colours, sigma=sigma), alpha]))  # type: ignore[list-item]
    factor = int(sigma / _LEAST_SIGMA)
    if factor < 2:
        return _filtered(image, _kernel(sigma))
    # Reducing blurs by a variance of (factor² - 1) / 12 px², and enlarging by one of
    # (2 factor² + 1) / 12 px². Variances of filters add up, and the kernel brings the rest.
    kernel = _kernel(np.sqrt((sigma / factor) ** 2 - 0.25))
    small = cv2.sepFilter2D(_reduced(image, factor), cv2.CV_32F, kernel, kernel, borderType=_EDGES)
    if not _has_alpha(image):
        small = (small * _STEPS + 0.5).astype(np.uint16)  # twice as fast to enlarge as float32
    return _enlarged(small, factor, image)


def _kernel(sigma: float) -> Kernel:
    reach = int(np.ceil(_REACH * sigma))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return cast(Kernel, weights / weights.sum())


def _filtered(image: Image, kernel: Kernel) -> Image:
    """Filter the rows and columns of an image with a kernel."""
    if not _has_alpha(image):
        return cast(Image, cv2.sepFilter2D(image, cv2.CV_8U, kernel, kernel, borderType=_EDGES))
    result = np.empty(image.shape, np.uint8)
    reach = len(kernel) // 2
    for top in range(0, len(image), _ROWS):
        above = max(top - reach, 0)
        bottom = top + _ROWS
        pixels = premultiply(image[above : bottom + reach])
        filtered = cv2.sepFilter2D(pixels, cv2.CV_32F, kernel, kernel, borderType=_EDGES)
        result[top:bottom] = unpremultiply(
            cast(Premultiplied, filtered[top - above : bottom - above])
        )
    return result


def _reduced(image: Image, factor: int) -> Pixels:
    """Take the mean of blocks of factor * factor pixels. Alpha becomes premultiplied.

    The result has one block of edge pixels more at each side. So repeating its edges is the same as
    repeating those of the image.
    """
    height, width = image.shape[:2]
    right = factor + -width % factor
    rows = _ROWS // factor * factor
    parts = []
    for top in range(0, height, rows):
        strip = image[top : top + rows]
        above = factor if top == 0 else 0
        below = factor + -height % factor if top + rows >= height else 0
        pixels = premultiply(strip) if _has_alpha(image) else strip
        padded = cv2.copyMakeBorder(pixels, above, below, factor, right, _EDGES)
        size = padded.shape[1] // factor, padded.shape[0] // factor
        parts.append(cv2.resize(padded, size, interpolation=cv2.INTER_AREA))
    return cast(Pixels, np.concatenate(parts))


def _enlarged(small: cv2.typing.MatLike, factor: int, image: Image) -> Image:
    """Interpolate between the blocks, and return an image of the shape of the given one."""
    height, width = image.shape[:2]
    result = np.empty((height, width, *small.shape[2:]), np.uint8)
    step = _ROWS // factor
    for first in range(1, len(small) - 1, step):  # the first row and the last lie outside
        part = small[first - 1 : first + step + 1]
        size = part.shape[1] * factor, len(part) * factor
        large = cv2.resize(part, size, interpolation=cv2.INTER_LINEAR)
        top = (first - 1) * factor
        rows = min(len(large) - 2 * factor, height - top)
        values = large[factor : factor + rows, factor : factor + width]
        result[top : top + rows] = _rounded(values)
    return result


def _rounded(values: cv2.typing.MatLike) -> Image:
    if values.dtype == np.float32:
        return unpremultiply(cast(Premultiplied, values))
    return cast(Image, cv2.convertScaleAbs(values, alpha=1 / _STEPS))


def _has_alpha(image: Image) -> bool:
    return image.ndim == 3 and image.shape[2] == 4
