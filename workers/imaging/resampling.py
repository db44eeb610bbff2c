"""Change the size of an image by one of the usual filters."""

from collections.abc import Callable
from functools import partial
from typing import Final, Literal, cast

import cv2
import numpy as np

from agewell.workers.imaging.alpha import Pixels, with_premultiplied
from agewell.workers.imaging.geometry import Size, size_of
from agewell.workers.imaging.image import Image
from agewell.workers.imaging.kernels import BOX, LANCZOS, TRIANGLE, Box, resample_by

Filter = Literal["auto", "area", "lanczos", "linear", "nearest"]

_Resampler = Callable[[Pixels, Size], Pixels]


def _by_opencv(interpolation: int) -> _Resampler:
    return lambda pixels, size: cast(Pixels, cv2.resize(pixels, size, interpolation=interpolation))


_AREA: Final = _by_opencv(cv2.INTER_AREA)
_LANCZOS: Final = partial(resample_by, LANCZOS)
# OpenCV's linear interpolation aliases when it reduces. It is right, and fast, when it enlarges.
_FILTERS: Final[dict[str, tuple[_Resampler, _Resampler]]] = {  # to reduce, to enlarge
    "auto": (_AREA, _LANCZOS),
    "area": (_AREA, _AREA),
    "lanczos": (_LANCZOS, _LANCZOS),
    "linear": (partial(resample_by, TRIANGLE), _by_opencv(cv2.INTER_LINEAR)),
}


def resample(image: Image, size: Size, by: Filter = "auto") -> Image:
    """Change the size of an image.

    Args:
        image: (H, W) gray, (H, W, 3) BGR or (H, W, 4) BGR with straight alpha; uint8.
        size: width and height of the result, px. The aspect ratio may change.
        by: `area` takes the mean of the covered area. `lanczos` (three lobes) and `linear`
            read more pixels the more they reduce. `nearest` copies the pixel at the centre.
            `auto` reduces by area and enlarges by Lanczos.

    Returns:
        An image with the same channels, uint8, contiguous. Alpha is premultiplied in between,
        except with `nearest`, which mixes nothing. It is the given array if the size is the same.
    """
    if size == size_of(image):
        return np.ascontiguousarray(image)
    if by == "nearest":
        return cast(Image, cv2.resize(image, size, interpolation=cv2.INTER_NEAREST_EXACT))
    reduce, enlarge = _FILTERS[by]
    width, height = size_of(image)
    smaller = min(size[0], width), min(size[1], height)

    def change(pixels: Pixels) -> Pixels:
        # One direction at a time may be enlarged: INTER_AREA averages only if it reduces both.
        pixels = pixels if smaller == (width, height) else reduce(pixels, smaller)
        return pixels if smaller == size else enlarge(pixels, size)

    return with_premultiplied(image, change)


_KERNELS: Final = {"auto": BOX, "area": BOX, "lanczos": LANCZOS, "linear": TRIANGLE}


def reduce_part(image: Image, size: Size, box: Box, by: Filter) -> Image:
    """Reduce a part of an image, which may begin and end within pixels.

    Args:
        image: (H, W) gray, (H, W, 3) BGR or (H, W, 4) BGR with straight alpha; uint8.
        size: width and height of the result, px. It must not be larger than the part.
        box: the part.
        by: as in `resample`, except "nearest".
    """
    kernel = _KERNELS[by]
    return with_premultiplied(image, lambda pixels: resample_by(kernel, pixels, size, box))
