"""An operation of your own, as in docs/operations.md. The demo's workers load this file.

AGEWELL_OPERATIONS=examples/own_operations.py agewell up
agewell enqueue duotone photos/ --out results
"""

import cv2
import numpy as np

from agewell import Colour, Image, operation, parse_colour


@operation
def duotone(image: Image, *, dark: Colour = "#1b2a4a", light: Colour = "#f7d9a0") -> Image:
    """Print images in two colours.

    Args:
        image: the photos to print.
        dark: the colour of black, as #rrggbb.
        light: the colour of white, as #rrggbb.
    """
    gray = image if image.ndim == 2 else cv2.cvtColor(image[..., :3].copy(), cv2.COLOR_BGR2GRAY)
    ends = [parse_colour(each, "colour")[:3] for each in (dark, light)]
    shades = np.linspace(*np.float32(ends), 256).round().astype(np.uint8)
    return shades[gray]
