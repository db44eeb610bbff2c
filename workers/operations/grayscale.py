"""Convert images to gray."""

from typing import cast

import cv2

from agewell.workers.imaging.image import Image
from agewell.workers.operations.declaration import operation


@operation
def grayscale(image: Image) -> Image:
    """Convert images to gray, by the luma of Rec. 601.

    Luma is 0.299 R + 0.587 G + 0.114 B of the stored values, rounded to nearest.

    Args:
        image: the image to convert. uint8, (H, W, 3) BGR,
            (H, W, 4) BGR with straight alpha, or (H, W) gray.

    Returns:
        (H, W) uint8. An image with alpha becomes (H, W, 4), with B = G = R and its alpha
        unchanged. A gray image is returned as it is.

    Source: Recommendation ITU-R BT.601-7, section 2.5.1.
    """
    if image.ndim == 2:
        return image
    if image.shape[2] == 3:
        return cast(Image, cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))
    luma = cv2.cvtColor(image, cv2.COLOR_BGRA2GRAY)
    return cast(Image, cv2.merge([luma, luma, luma, cv2.extractChannel(image, 3)]))
