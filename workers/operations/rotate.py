"""Rotate images."""

import math
from collections.abc import Sequence
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
from agewell.workers.imaging.colour import Colour, parse_colour
from agewell.workers.imaging.geometry import Size, check_result, size_of
from agewell.workers.imaging.image import Image
from agewell.workers.operations.context import JobContext
from agewell.workers.operations.declaration import operation

_RIGHT_ANGLES: Final = {
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}

Matrix = npt.NDArray[np.float64]


@operation
def rotate(
    image: Image,
    *,
    angle: Annotated[float, Field(ge=-360, le=360)],
    background: Colour = "#000000",
    expand: bool = True,
    context: JobContext,
) -> Image:
    """Rotate images clockwise, about their middle.

    Args:
        image: the image to rotate. uint8, (H, W) gray, (H, W, 3) BGR or
            (H, W, 4) BGR with straight alpha.
        angle: degrees, clockwise. Multiples of 90 only move pixels; other angles interpolate.
        background: the colour of the corners: `#rrggbb`, `#rrggbbaa` or `transparent`.
        expand: enlarge the image, so that nothing is cut off. Otherwise it keeps its size.
        context: gives the largest size.

    Returns:
        The rotated image. With ``expand``, its sides are W |cos a| + H |sin a| and
        W |sin a| + H |cos a|, rounded up. If there are corners to fill, it gets the channels that
        the background needs: an alpha channel if that is not opaque, and colours if that is not
        gray.

    Raises:
        ImageTooLargeError: the result would be larger than the settings allow.

    Source: Keys, "Cubic convolution interpolation for digital image processing", IEEE Transactions
    on Acoustics, Speech, and Signal Processing 29(6), 1981; with a = -0.75.
    """
    angle %= 360
    if angle == 0:
        return image
    given = size_of(image)
    if angle in _RIGHT_ANGLES and (expand or angle == 180):
        return cast(Image, cv2.rotate(image, _RIGHT_ANGLES[int(angle)]))
    cosine, sine = _cosine_and_sine(angle)
    size = _expanded(given, abs(cosine), abs(sine)) if expand else given
    check_result(size, context.settings)
    colour = parse_colour(background, "background")
    return _turned(
        _with_channels_for(colour, image), _matrix(given, size, cosine, sine), size, colour
    )


def _cosine_and_sine(angle: float) -> tuple[float, float]:
    """Return them rounded, so that those of right angles are whole numbers."""
    return round(math.cos(math.radians(angle)), 12), round(math.sin(math.radians(angle)), 12)


def _expanded(size: Size, cosine: float, sine: float) -> Size:
    """Return the size of the upright box around a rotated image."""
    width, height = size
    sides = width * cosine + height * sine, width * sine + height * cosine
    # Less a millionth of a pixel, so that a rounding error does not add a whole one.
    return math.ceil(sides[0] - 1e-6), math.ceil(sides[1] - 1e-6)


def _matrix(given: Size, size: Size, cosine: float, sine: float) -> Matrix:
    """Return the affine map from places in the image to places in the result, (2, 3) float64.

    It maps the middle of one to the middle of the other. If a right angle would move pixels by a
    half, it moves them by that half less.
    """
    x, y = (given[0] - 1) / 2, (given[1] - 1) / 2
    shift = [(size[0] - 1) / 2 - cosine * x + sine * y, (size[1] - 1) / 2 - sine * x - cosine * y]
    if 0 in (cosine, sine):
        shift = [math.floor(each) for each in shift]
    return np.array([[cosine, -sine, shift[0]], [sine, cosine, shift[1]]])


def _with_channels_for(colour: tuple[int, int, int, int], image: Image) -> Image:
    """Add the channels that a background of this colour needs."""
    blue, green, red, alpha = colour
    if alpha < 255 and image.ndim == 2:
        return cast(Image, cv2.cvtColor(image, cv2.COLOR_GRAY2BGRA))
    if alpha < 255 and image.shape[2] == 3:
        return cast(Image, cv2.cvtColor(image, cv2.COLOR_BGR2BGRA))
    if image.ndim == 2 and not blue == green == red:
        return cast(Image, cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))
    return image


def _turned(image: Image, matrix: Matrix, size: Size, colour: tuple[int, int, int, int]) -> Image:
    def warp(pixels: Pixels, fill: Sequence[float]) -> Pixels:
        turned = cv2.warpAffine(pixels, matrix, size, flags=cv2.INTER_CUBIC, borderValue=fill)
        return cast(Pixels, turned)

    if is_opaque(image) and colour[3] == 255:
        return cast(Image, warp(image, colour))
    fill = premultiply(np.array([[colour]], np.uint8))[0, 0].tolist()
    return unpremultiply(cast(Premultiplied, warp(premultiply(image), fill)))
