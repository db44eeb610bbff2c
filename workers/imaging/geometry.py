"""Sizes and places of boxes, in whole pixels. The origin is at the top left."""

from typing import Annotated, Final, Literal

from pydantic import Field

from agewell.shared.errors import ImageTooLargeError, ParameterError
from agewell.shared.settings import Settings
from agewell.workers.imaging.image import Image

Size = tuple[int, int]
"""Width and height, px."""

Side = Annotated[int, Field(ge=1, le=65_535)]
"""A width or a height, px. No format that agewell writes holds a longer side.

The setting AGEWELL_MAX_SIDE of the worker is usually lower.
"""

Gravity = Literal[
    "center",
    "north",
    "northeast",
    "east",
    "southeast",
    "south",
    "southwest",
    "west",
    "northwest",
]
"""The place of a box in an image: the middle, one of its four sides, or one of its corners."""

_EAST: Final = frozenset({"northeast", "east", "southeast"})
_WEST: Final = frozenset({"northwest", "west", "southwest"})
_NORTH: Final = frozenset({"northwest", "north", "northeast"})
_SOUTH: Final = frozenset({"southwest", "south", "southeast"})


def size_of(image: Image) -> Size:
    """Return the width and the height of an image."""
    height, width = image.shape[:2]
    return width, height


def described(size: Size) -> str:
    """Return a size for an error message: `1920 x 1080 px`."""
    return f"{size[0]} x {size[1]} px"


def gravitate(size: Size, within: Size, gravity: Gravity, margin: int = 0) -> tuple[int, int]:
    """Find the place of a box in an image.

    Args:
        size: the box. It may be larger than the image.
        within: the image.
        gravity: the side or corner that the box lies at.
        margin: the distance from that side or corner, px. A centred axis has none.

    Returns:
        x and y of the box's top left corner on the image. They are negative if the box stands out
        on that side. If a centred box leaves an odd number of pixels, the one more is at the right
        or at the bottom.
    """
    x = _along(size[0], within[0], gravity in _WEST, gravity in _EAST, margin)
    y = _along(size[1], within[1], gravity in _NORTH, gravity in _SOUTH, margin)
    return x, y


def _along(length: int, within: int, at_start: bool, at_end: bool, margin: int) -> int:
    if at_start:
        return margin
    free = within - length
    return free - margin if at_end else free // 2


def cut(image: Image, corner: tuple[int, int], size: Size) -> Image:
    """Return a view of a part of an image. The part must lie within the image."""
    (x, y), (width, height) = corner, size
    return image[y : y + height, x : x + width]


def fitted(size: Size, width: int | None, height: int | None) -> Size:
    """Return the largest size of the same aspect ratio that fits into a box.

    Args:
        size: the size of an image.
        width: the width of the box, or None for any.
        height: the height of the box, or None for any.

    Returns:
        One side is that of the box. The other is rounded to nearest, halves upwards, and is at
        least 1 px.

    Raises:
        ParameterError: neither width nor height is given.
    """
    if width is not None and (height is None or width * size[1] <= height * size[0]):
        return width, max(1, _divided(size[1] * width, size[0]))
    if height is None:
        raise ParameterError("width", "not given", "a width, a height or both")
    return max(1, _divided(size[0] * height, size[1])), height


def _divided(dividend: int, divisor: int) -> int:
    """Divide positive whole numbers, rounded to nearest, halves upwards."""
    return (2 * dividend + divisor) // (2 * divisor)


def check_result(size: Size, settings: Settings, name: str = "image") -> None:
    """Check that a result is within the worker's limits, before it is computed.

    Args:
        size: the size of the result.
        settings: the limits.
        name: the name of the image in the error message.

    Raises:
        ImageTooLargeError: a side is longer than max_side, or there are more than max_pixels.
    """
    if max(size) > settings.max_side:
        limit = f"{settings.max_side:,} px a side (AGEWELL_MAX_SIDE of the worker)"
    elif size[0] * size[1] > settings.max_pixels:
        limit = f"{settings.max_pixels:,} pixels (AGEWELL_MAX_PIXELS of the worker)"
    else:
        return
    raise ImageTooLargeError(name, f"the result would be {described(size)}; the limit is {limit}")
