"""The channels of an image: count them, split off alpha, convert to BGR or to a mask."""

from typing import cast

import cv2
import numpy as np

from agewell.shared.errors import UnsupportedPixelsError
from agewell.workers.imaging.image import Image


def channels(image: Image, name: str) -> int:
    """Count the channels of an image: 1, 3 or 4.

    Args:
        image: an array as ``decode`` returns it.
        name: the name of the image in error messages.

    Raises:
        UnsupportedPixelsError: the shape or the dtype is not that of an image.
    """
    count = 1 if image.ndim == 2 else image.shape[2] if image.ndim == 3 else 0
    if image.dtype != np.uint8 or count not in (1, 3, 4) or image.size == 0:
        found = f"an array of shape {image.shape} and type {image.dtype}"
        shapes = "(H, W), (H, W, 3) or (H, W, 4)"
        raise UnsupportedPixelsError(name, f"{found}; an image is uint8 of shape {shapes}")
    return count


def split_alpha(image: Image, name: str) -> tuple[Image, Image | None]:
    """Split an image into its colours and its alpha channel.

    Args:
        image: (H, W) gray, (H, W, 3) BGR or (H, W, 4) BGR with straight alpha; uint8.
        name: the name of the image in error messages.

    Returns:
        (H, W, 3) uint8 BGR, gray repeated three times; and (H, W) uint8 alpha, or None.

    Raises:
        UnsupportedPixelsError: the array is not such an image.
    """
    count = channels(image, name)
    if count == 1:
        return cast(Image, cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)), None
    if count == 3:
        return image, None
    colours = cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)
    return cast(Image, colours), cast(Image, cv2.extractChannel(image, 3))


def as_bgr(image: Image, name: str) -> Image:
    """Convert an image without alpha to (H, W, 3) uint8 BGR. Gray is repeated three times.

    Raises:
        UnsupportedPixelsError: the image has an alpha channel, which would be lost.
    """
    colours, alpha = split_alpha(image, name)
    if alpha is not None:
        raise UnsupportedPixelsError(name, "has an alpha channel; flatten it first")
    return colours


def as_mask(image: Image, name: str) -> Image:
    """Convert an image without alpha to a mask: (H, W) uint8, 0..255.

    The mean of the three colour channels is taken, as in fpie, and rounded. If the largest value
    is 1, the mask consists of zeros and ones, and they become 0 and 255.

    Raises:
        UnsupportedPixelsError: the image has an alpha channel, so it is unclear if the colours or
            the alpha are the mask.
    """
    if channels(image, name) == 4:
        raise UnsupportedPixelsError(name, "a mask with an alpha channel; save it as gray")
    mask = image if image.ndim == 2 else _channel_mean(image)
    return mask * np.uint8(255) if mask.max() == 1 else mask


def _channel_mean(image: Image) -> Image:
    """Return the mean of one or three channels, rounded.

    The mean of three whole numbers is never halfway between two others, so rounding has no ties.
    """
    if image.shape[2] == 1:
        return image[..., 0]
    return cast(Image, cv2.transform(image, np.full((1, 3), 1 / 3)))
