"""BGR to HSV."""

from typing import cast

import cv2

from agewell.workers.imaging.codec import Image, split_alpha


def hsv(image: Image, *, full_range: bool = False) -> Image:
    """Convert an image to hue, saturation and value.

    Args:
        image: uint8, (H, W, 3) BGR, (H, W, 4) BGR with alpha, or (H, W) gray, which is taken
            as B = G = R: hue and saturation are 0 then.
        full_range: give the hue as 0..255 for 0..360 degrees; else as 0..179, in steps of two
            degrees, as OpenCV's users expect it.

    Returns:
        uint8, (H, W, 3) hue, saturation, value, the latter two 0..255; (H, W, 4) with the
        image's alpha as it was.

    Raises:
        UnsupportedPixelsError: no such image.

    Source: Smith, "Color gamut transform pairs", SIGGRAPH 1978; rounding is OpenCV's own, of
    COLOR_BGR2HSV and COLOR_BGR2HSV_FULL.
    """
    colours, alpha = split_alpha(image, "image")
    converted = cv2.cvtColor(colours, cv2.COLOR_BGR2HSV_FULL if full_range else cv2.COLOR_BGR2HSV)
    return cast(Image, converted if alpha is None else cv2.merge([converted, alpha]))
