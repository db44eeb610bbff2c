"""Mirror images."""

from typing import Final, Literal, cast

import cv2

from agewell.workers.imaging.image import Image
from agewell.workers.operations.declaration import operation

Direction = Literal["horizontal", "vertical", "both"]

_CODES: Final = {"horizontal": 1, "vertical": 0, "both": -1}


@operation
def flip(image: Image, *, direction: Direction = "horizontal") -> Image:
    """Mirror images.

    Args:
        image: the image to mirror.
        direction: `horizontal` swaps left and right, `vertical` top and bottom.
    """
    return cast(Image, cv2.flip(image, _CODES[direction]))
