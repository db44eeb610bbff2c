"""Convert BGR to HSV."""

from typing import cast

import cv2

from agewell.workers.imaging.codec import split_alpha
from agewell.workers.imaging.image import Image


def hsv(image: Image, *, full_range: bool = False) -> Image:
    """Convert an image to hue, saturation and value.

    Args:
        image: uint8, (H, W, 3) BGR, (H, W, 4) BGR with alpha, or (H, W) gray, which is read as
            B = G = R: its hue and saturation are 0.
        full_range: return the hue as 0..255 for 0..360 degrees. The default is 0..179, in steps
            of two degrees, as usual in OpenCV.

    Returns:
        (H, W, 3) uint8: hue, saturation and value. Saturation and value are 0..255. An image with
        alpha becomes (H, W, 4), with its alpha unchanged.

    Raises:
        UnsupportedPixelsError: the array is not such an image.

    Source: Smith, "Color gamut transform pairs", SIGGRAPH 1978. Rounding is that of OpenCV's
    COLOR_BGR2HSV and COLOR_BGR2HSV_FULL.
    """
    colours, alpha = split_alpha(image, "image")
    converted = cv2.cvtColor(colours, cv2.COLOR_BGR2HSV_FULL if full_range else cv2.COLOR_BGR2HSV)
    return cast(Image, converted if alpha is None else cv2.merge([converted, alpha]))
