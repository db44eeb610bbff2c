"""Premultiplied alpha, for operations that mix neighbouring pixels.

The colour of a transparent pixel must not show. If an operation averages straight colours, an
invisible black border darkens the edge of a logo. Colours that are multiplied by their alpha are
averaged right.

Source: Porter and Duff, "Compositing digital images", SIGGRAPH 1984.
"""

from collections.abc import Callable
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from agewell.workers.imaging.image import Image

Premultiplied = npt.NDArray[np.float32]
"""(H, W, 4) float32, 0 to 255: blue, green and red, each times alpha / 255, and alpha.

Sharp filters go beyond that range. Colours and alpha do so together, and their quotient stays
right, unless they are rounded or clipped in between. So these are no whole numbers.
"""

Pixels = npt.NDArray[np.uint8] | Premultiplied


def is_opaque(image: Image) -> bool:
    """Return True if no pixel of an image is transparent, not even in part."""
    if image.ndim == 2 or image.shape[2] < 4:
        return True
    lowest, _, _, _ = cv2.minMaxLoc(cv2.extractChannel(image, 3))
    return lowest == 255


def premultiply(image: Image) -> Premultiplied:
    """Multiply the colours of (H, W, 4) BGR with straight alpha by their alpha."""
    weight = image.copy()  # of each channel: the alpha for the colours, 255 for the alpha
    cv2.mixChannels([image], [weight], [3, 0, 3, 1, 3, 2])
    cv2.insertChannel(np.full(image.shape[:2], 255, np.uint8), weight, 3)
    return cast(Premultiplied, cv2.multiply(image, weight, scale=1 / 255, dtype=cv2.CV_32F))


def unpremultiply(pixels: Premultiplied) -> Image:
    """Divide the colours by their alpha.

    Args:
        pixels: as ``premultiply`` returns them. Values beyond the range are allowed.

    Returns:
        (H, W, 4) BGR with straight alpha, uint8, rounded to nearest and clipped. Pixels whose
        alpha is rounded to 0 are black.
    """
    alpha = cv2.extractChannel(pixels, 3)
    factor = np.zeros_like(alpha)
    np.divide(255, alpha, out=factor, where=alpha >= 0.5)
    factors = cv2.merge([factor, factor, factor, np.ones_like(alpha)])
    return cast(Image, cv2.multiply(pixels, factors, dtype=cv2.CV_8U))


def with_premultiplied(image: Image, change: Callable[[Pixels], Pixels]) -> Image:
    """Apply a function that mixes neighbouring pixels, with premultiplied alpha if that matters.

    Args:
        image: (H, W) gray, (H, W, 3) BGR or (H, W, 4) BGR with straight alpha; uint8.
        change: gets the image itself if it is opaque, or else its `Premultiplied` form. It returns
            the same kind of array. Its weights must add up to 1, so that an opaque image stays
            opaque.

    Returns:
        An image with the channels of the given one.
    """
    if is_opaque(image):
        return cast(Image, change(image))
    return unpremultiply(cast(Premultiplied, change(premultiply(image))))
