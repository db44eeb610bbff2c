"""Sharpen an image with an unsharp mask."""

from typing import Annotated, cast

import cv2
from pydantic import Field

from agewell.workers.imaging.channels import channels
from agewell.workers.imaging.image import Image
from agewell.workers.operations.blur import Sigma, blur
from agewell.workers.operations.declaration import operation


@operation
def sharpen(
    image: Image,
    *,
    amount: Annotated[float, Field(ge=0, le=10)] = 1.0,
    sigma: Sigma = 1.0,
    threshold: Annotated[int, Field(ge=0, le=255)] = 0,
) -> Image:
    """Sharpen an image with an unsharp mask.

    Each value v, 0..255, of each colour channel becomes v + amount * (v - b), with b the value of
    the image blurred by sigma, as the operation blur rounds it. The result is rounded to nearest
    and cut off at 0 and 255. A value that differs from b by threshold or less stays as it is.

    Alpha is not sharpened. The blurred colours are weighted by alpha, so that a pixel is compared
    only with visible neighbours. Pixels stay as they are if their alpha is 0, blurred or not.

    Args:
        image: the image to sharpen.
        amount: the strength: 0 leaves the image as it is, 1 doubles the difference from blurred.
        sigma: the standard deviation of the blur, px. It is the size of the details to sharpen.
        threshold: the largest difference from blurred that is left as it is, 0..255. It keeps
            noise from being sharpened.

    Returns:
        uint8, the shape of the image.

    Raises:
        UnsupportedPixelsError: the array is not an image.

    Source: Gonzalez and Woods, "Digital Image Processing", "Unsharp masking and highboost
    filtering".
    """
    count = channels(image, "image")
    if amount == 0:
        return image
    blurred = blur(image, sigma=sigma)
    sharp = cast(Image, cv2.addWeighted(image, 1 + amount, blurred, -amount, 0))
    if threshold:
        difference = cv2.absdiff(image, blurred)
        _, small = cv2.threshold(difference, threshold, 255, cv2.THRESH_BINARY_INV)
        sharp = cast(Image, cv2.copyTo(image, small, sharp))
    return sharp if count < 4 else _with_alpha_of(image, sharp, blurred)


def _with_alpha_of(image: Image, sharp: Image, blurred: Image) -> Image:
    """Return sharp with the alpha of the image.

    A pixel without alpha has no colour to sharpen, and one whose alpha the blur spread so far that
    nothing is left has no colour to be compared with. Both stay as they are.
    """
    alpha = cv2.extractChannel(image, 3)
    sharp = cast(Image, cv2.insertChannel(alpha, sharp, 3))
    least = cv2.min(alpha, cv2.extractChannel(blurred, 3))
    _, kept = cv2.threshold(least, 0, 255, cv2.THRESH_BINARY_INV)
    return cast(Image, cv2.copyTo(image, kept, sharp))
