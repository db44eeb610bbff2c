"""Convert BGR to HSV."""

from typing import cast

import cv2

from agewell.workers.imaging.channels import split_alpha
from agewell.workers.imaging.image import Image
from agewell.workers.operations.declaration import operation


@operation(example="photos/ --priority bulk")
def hsv(image: Image, *, full_range: bool = False) -> Image:
    """Convert images from BGR to HSV colours.

    Args:
        image: the images to convert. uint8, (H, W, 3) BGR, (H, W, 4) BGR with alpha, or (H, W)
            gray, which is read as B = G = R: its hue and saturation are 0.
        full_range: scale the hue to 0..255. Otherwise it is 0..179, in steps of two degrees, as
            usual in OpenCV.

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
