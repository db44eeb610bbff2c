"""Draw boxes with labels on an image, readable on small and on large images."""

import colorsys
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import cv2
import numpy as np

from agewell.workers.imaging.image import Image
from agewell.workers.models.detections import Detection

Colour = tuple[int, int, int]
"""Blue, green, red, 0..255."""

_TEXT_SHARE = 1 / 36  # height of the text, as a share of the image's mean side
_TEXT_MIN, _TEXT_MAX = 12, 64  # px
_LINE_SHARE = 1 / 8  # of the text's height
_GOLDEN = 0.618034  # steps of this on the circle of hues give colours that differ well
_FONT: Final = "uni"  # it comes with OpenCV, and has most of the world's letters
_DARK = 140  # luminance, 0..255, below which a label is white on its colour


def draw_boxes(image: Image, found: Sequence[Detection]) -> Image:
    """Return a copy of an image with boxes drawn, the best score on top.

    Each class has a colour. The label and the score stand above a box, or within it at the top of
    the image. A text that is wider than the image is left out.

    Args:
        image: (H, W, 3) uint8 BGR.
        found: the boxes, the best score first.
    """
    drawn = image.copy()
    height = text_height(image)
    for each in reversed(found):
        _outline(drawn, each, max(1, int(height * _LINE_SHARE)))
    for each in reversed(found):
        _label(drawn, each, height)
    return drawn


def text_height(image: Image) -> int:
    """Return the height of labels on an image, px."""
    side = math.sqrt(image.shape[0] * image.shape[1])
    return min(_TEXT_MAX, max(_TEXT_MIN, round(side * _TEXT_SHARE)))


def colour_of(number: int) -> Colour:
    """Return the colour of a class."""
    hue = number * _GOLDEN % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 0.95 if number % 2 == 0 else 0.7)
    return round(255 * blue), round(255 * green), round(255 * red)


def _outline(drawn: Image, found: Detection, thickness: int) -> None:
    corners = found.polygon
    if corners is None:
        x0, y0, x1, y1 = found.box
        corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    # A box ends at the edge of a pixel, and a line goes through the centres of pixels.
    points = np.clip(np.rint(corners - 0.5), 0, np.array(drawn.shape[1::-1]) - 1)
    colour = colour_of(found.number)
    cv2.polylines(drawn, [points.astype(np.int32)], True, colour, thickness, cv2.LINE_AA)


def _label(drawn: Image, found: Detection, height: int) -> None:
    colour = colour_of(found.number)
    patch = _patch(f"{found.label} {found.score:.2f}", height, colour)
    if patch.shape[1] > drawn.shape[1]:
        patch = _patch(found.label, height, colour)
    rows, columns = patch.shape[:2]
    if columns > drawn.shape[1] or rows > drawn.shape[0]:
        return
    left = min(int(found.box[0]), drawn.shape[1] - columns)
    top = int(found.box[1]) - rows
    if top < 0:
        top = min(int(found.box[1]), drawn.shape[0] - rows)
    drawn[top : top + rows, left : left + columns] = patch


@lru_cache(maxsize=512)
def _patch(text: str, height: int, colour: Colour) -> Image:
    """Return a text on its colour: (rows, columns, 3) uint8 BGR."""
    font = cv2.FontFace(_FONT)  # not shared: threads draw at the same time
    margin = max(1, height // 5)
    _, _, width, rows = cv2.getTextSize((1, 1), text, (0, 0), font, height)
    patch = np.full((rows + margin, width + 2 * margin, 3), colour, np.uint8)
    blue, green, red = colour
    is_dark = 0.114 * blue + 0.587 * green + 0.299 * red < _DARK
    ink = (255, 255, 255) if is_dark else (0, 0, 0)
    cv2.putText(patch, text, (margin, height), ink, font, height)
    return patch
