"""Blur an image with a Gaussian, in about the same time for any sigma."""

from typing import Annotated, Final, cast

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from agewell.workers.imaging.alpha import Pixels, is_opaque, with_premultiplied
from agewell.workers.imaging.codec import channels, split_alpha
from agewell.workers.imaging.image import Image
from agewell.workers.operations.declaration import operation

Sigma = Annotated[float, Field(ge=0.1, le=500)]
"""The standard deviation of a Gaussian, px."""

_SMALL_SIGMA: Final = 4.0  # the least sigma, in pixels of a reduced image
_REACH: Final = 4  # the kernel ends at this many sigmas, where it is 1/3000 of its peak
_ROWS: Final = 256  # rows filtered at a time in float32, so that they need little memory
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
    8 px, it differs by at most 2. Colours of low alpha are less exact: below 8 px they differ by
    up to 1 / alpha more, and from 8 px by up to 2 * 255 / alpha, with alpha of 0..255.

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
    factor = int(sigma / _SMALL_SIGMA)
    if factor < 2:
        kernel = _kernel(sigma)
        return with_premultiplied(image, lambda pixels: _filtered(pixels, kernel))
    return with_premultiplied(image, lambda pixels: _filtered_small(pixels, sigma, factor))


def _kernel(sigma: float) -> Kernel:
    reach = int(np.ceil(_REACH * sigma))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return cast(Kernel, weights / weights.sum())


def _filtered(pixels: Pixels, kernel: Kernel) -> Pixels:
    """Filter rows and columns with a kernel, rounded to nearest."""
    if pixels.dtype == np.uint8:
        filtered = cv2.sepFilter2D(pixels, cv2.CV_8U, kernel, kernel, borderType=_EDGES)
        return cast(Pixels, filtered)
    result = np.empty_like(pixels)
    height, reach = len(pixels), len(kernel) // 2
    for top in range(0, height, _ROWS):
        # OpenCV filters float32 four times as fast as uint16.
        bottom = min(top + _ROWS, height)
        above = max(top - reach, 0)
        strip = pixels[above : bottom + reach].astype(np.float32)
        filtered = cv2.sepFilter2D(strip, cv2.CV_32F, kernel, kernel, borderType=_EDGES)
        result[top:bottom] = filtered[top - above : bottom - above] + np.float32(0.5)
    return result


def _filtered_small(pixels: Pixels, sigma: float, factor: int) -> Pixels:
    """Filter a reduced image, and enlarge the result.

    Reducing takes the mean of blocks, and enlarging interpolates linearly. Both blur, too. Their
    variances are (factor² - 1) / 12 and (2 factor² + 1) / 12 px². Variances of filters add up, so
    that the kernel has to bring the rest.
    """
    height, width = pixels.shape[:2]
    # One block of edge pixels around all, so that the reduced image has the same edges.
    below, right = factor + -height % factor, factor + -width % factor
    padded = cv2.copyMakeBorder(pixels, factor, below, factor, right, _EDGES)
    size = padded.shape[1] // factor, padded.shape[0] // factor
    small = cv2.resize(padded, size, interpolation=cv2.INTER_AREA)
    kernel = _kernel(np.sqrt((sigma / factor) ** 2 - 0.25))
    small = cv2.sepFilter2D(small, cv2.CV_32F, kernel, kernel, borderType=_EDGES)
    # Bytes get eight more bits until the end, so that they are rounded once.
    scale = 256 if pixels.dtype == np.uint8 else 1
    exact = (small * scale + 0.5).astype(np.uint16)
    large = cv2.resize(exact, padded.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    large = large[factor : factor + height, factor : factor + width]
    if pixels.dtype == np.uint8:
        return cast(Pixels, cv2.convertScaleAbs(large, alpha=1 / scale))
    return cast(Pixels, np.ascontiguousarray(large))
