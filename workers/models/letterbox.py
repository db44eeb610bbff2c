"""Letterbox: resize an image with its proportions kept, and fill the rest with a colour."""

from dataclasses import dataclass

import cv2
import numpy as np

from agewell.workers.imaging.image import Image


@dataclass(frozen=True)
class Window:
    """A part of a picture: its top left corner and its size, in px."""

    left: int
    top: int
    width: int
    height: int


def letterbox_window(height: int, width: int, size: tuple[int, int]) -> Window:
    """Return the part of a letterboxed picture that shows the image.

    Args:
        height: px, of the image.
        width: px, of the image.
        size: (height, width) of the letterboxed picture in px.

    Returns:
        The largest part with the proportions of the image, rounded to whole px and centred. An odd
        rest puts one px more below and to the right, as in Ultralytics' YOLO.
    """
    scale = min(size[0] / height, size[1] / width)
    inner_h = min(size[0], max(1, round(height * scale)))
    inner_w = min(size[1], max(1, round(width * scale)))
    return Window((size[1] - inner_w) // 2, (size[0] - inner_h) // 2, inner_w, inner_h)


def pad_to(image: Image, window: Window, size: tuple[int, int], rgb: tuple[int, ...]) -> Image:
    """Put an image of a window's size there, on a picture of one colour.

    Args:
        image: (window.height, window.width, 3) uint8 BGR.
        window: the place of the image.
        size: (height, width) of the picture in px.
        rgb: the colour around it: one value for all channels, or red, green and blue; 0..255.

    Returns:
        (height, width, 3) uint8 BGR.
    """
    bgr = [float(each) for each in (rgb * 3 if len(rgb) == 1 else rgb)[::-1]]
    below = size[0] - window.top - window.height
    right = size[1] - window.left - window.width
    padded = cv2.copyMakeBorder(
        image, window.top, below, window.left, right, cv2.BORDER_CONSTANT, value=bgr
    )
    return np.asarray(padded, np.uint8)
