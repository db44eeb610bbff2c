"""Lay images over each other by a plane of weights, and flatten an image with alpha onto a colour.

Source: Porter and Duff, "Compositing digital images", SIGGRAPH 1984 ("over").
"""

from typing import cast

import cv2
import numpy as np

from agewell.workers.imaging.alpha import is_opaque
from agewell.workers.imaging.channels import channels, split_alpha
from agewell.workers.imaging.colour import parse_colour
from agewell.workers.imaging.image import Image

ROWS = 16
"""Rows laid over others at a time, so that intermediate values stay in the cache."""


def flatten_onto(bgr: tuple[int, int, int], image: Image) -> Image:
    """Put a colour behind an image with alpha.

    Args:
        bgr: the colour, 0..255.
        image: (H, W, 4) uint8 BGR with straight alpha.

    Returns:
        (H, W, 3) uint8 BGR: (a * value + (255 - a) * colour) / 255, rounded to nearest.
    """
    colours = cast(Image, cv2.cvtColor(image, cv2.COLOR_BGRA2BGR))
    if is_opaque(image):
        return colours
    height, width = image.shape[:2]
    row = np.tile(np.array(bgr, np.uint8), (1, width, 1))
    # Copying rows is many times as fast as copying pixels.
    target = np.repeat(row, height, axis=0)
    lay_over(colours, target, cast(Image, cv2.extractChannel(image, 3)))
    return target


def lay_over(colours: Image, target: Image, plane: Image) -> None:
    """Lay colours over target by one plane of weights, in place and with whole numbers.

    (k * fg + (255 - k) * bg) / 255 is never halfway between two numbers, because 255 is odd.

    Args:
        colours: (h, w, 3) uint8.
        target: (h, w, 3) uint8, the background and the result.
        plane: (h, w) uint8, the weights of the colours, 0..255.
    """
    for top in range(0, len(target), ROWS):
        block = slice(top, top + ROWS)
        weight = cv2.merge([plane[block]] * 3)  # k; its bitwise complement is 255 - k
        total = np.multiply(colours[block], weight, dtype=np.uint16)
        total += np.multiply(target[block], cv2.bitwise_not(weight), dtype=np.uint16)
        # Divides any number up to 255 * 255 by 255, rounded. Source: Blinn, "Three wrongs make a
        # right", IEEE Computer Graphics and Applications 15(6), 1995.
        total += 128
        total += total >> 8
        target[block] = total >> 8


def as_opaque(image: Image, name: str, background: str) -> tuple[Image, bool]:
    """Convert a decoded image to BGR. If a pixel is transparent, a colour is put behind it.

    Args:
        image: (H, W) gray, (H, W, 3) BGR or (H, W, 4) BGR with straight alpha; uint8.
        name: the name of the image in error messages.
        background: the colour, `#rrggbb`.

    Returns:
        (H, W, 3) uint8 BGR, and True if the colour shows.

    Raises:
        UnsupportedPixelsError: the array is not such an image.
    """
    if channels(image, name) < 4 or is_opaque(image):
        return split_alpha(image, name)[0], False
    blue, green, red, _ = parse_colour(background, "background")
    return flatten_onto((blue, green, red), image), True
