"""Adjust brightness, contrast, gamma and saturation."""

from typing import Annotated, cast

import cv2
import numpy as np
from pydantic import Field

from agewell.workers.imaging.channels import channels, split_alpha
from agewell.workers.imaging.image import Image
from agewell.workers.operations.declaration import operation

_MIDDLE = 127.5  # contrast changes the distance from this value
_LUMA = np.array([0.114, 0.587, 0.299])  # of B, G and R, by Rec. 601

Factor = Annotated[float, Field(ge=0, le=10)]


@operation
def adjust(
    image: Image,
    *,
    brightness: Factor = 1.0,
    contrast: Factor = 1.0,
    saturation: Factor = 1.0,
    gamma: Annotated[float, Field(ge=0.1, le=10)] = 1.0,
) -> Image:
    """Adjust brightness, contrast, gamma and saturation, in this order.

    Each value v, 0..255, of each colour channel becomes:

        v1 = brightness * v
        v2 = (v1 - 127.5) * contrast + 127.5, cut off at 0 and 255
        v3 = 255 * (v2 / 255) ** (1 / gamma), rounded to nearest, halves upwards

    Nothing is cut off between brightness and contrast. So a low contrast brings back highlights
    that the brightness pushed beyond 255. Then saturation mixes each pixel with its luma:

        y = 0.299 * R + 0.587 * G + 0.114 * B
        v4 = y + saturation * (v3 - y), cut off at 0 and 255

    The last step is computed in fixed point. It differs from the formula by less than 1.

    Args:
        image: the image to adjust.
        brightness: factor of all values. 0 is black, 1 leaves them.
        contrast: factor of the distance from middle gray. 0 is gray, 1 leaves it.
        saturation: factor of the distance from gray of the same luma. 0 removes all colour,
            1 leaves it. Gray images ignore it.
        gamma: above 1 brightens the mid-tones, below 1 darkens them.

    Returns:
        uint8, the shape of the image. Alpha is unchanged. If all four are 1, it is the image
        itself.

    Raises:
        UnsupportedPixelsError: the array is not an image.

    Source: W3C, "Filter Effects Module Level 1" (brightness, contrast); Rec. ITU-R BT.601-7 (luma);
    ImageMagick's -gamma.
    """
    count = channels(image, "image")
    tones = not brightness == contrast == gamma == 1
    saturates = saturation != 1 and count > 1
    if not tones and not saturates:
        return image
    result = image
    if tones:
        result = cast(Image, cv2.LUT(result, _table(brightness, contrast, gamma)))
    if saturates:
        colours, _ = split_alpha(result, "image")
        mixed = cv2.transform(colours, _mixing_matrix(saturation))
        result = cast(Image, mixed if count == 3 else cv2.cvtColor(mixed, cv2.COLOR_BGR2BGRA))
    if count == 4:
        cv2.mixChannels([image], [result], [3, 3])  # the alpha as it was
    return result


def _table(brightness: float, contrast: float, gamma: float) -> Image:
    """Return the new value of each of the 256 values."""
    values = np.arange(256) * brightness
    values = ((values - _MIDDLE) * contrast + _MIDDLE).clip(0, 255)
    values = 255 * (values / 255) ** (1 / gamma)
    return (values + 0.5).astype(np.uint8)


def _mixing_matrix(saturation: float) -> cv2.typing.MatLike:
    """Return the (3, 3) matrix from BGR to y + saturation * (BGR - y)."""
    return saturation * np.eye(3) + (1 - saturation) * _LUMA
