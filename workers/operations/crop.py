"""Cut a part out of images."""

from typing import Annotated

import numpy as np
from pydantic import Field

from agewell.shared.errors import ParameterError, ShapeError
from agewell.workers.imaging.geometry import Gravity, Side, cut, described, gravitate, size_of
from agewell.workers.imaging.image import Image
from agewell.workers.operations.declaration import operation

Distance = Annotated[int, Field(ge=0, le=65_535)]


@operation
def crop(
    image: Image,
    *,
    box: tuple[Distance, Distance, Side, Side] | None = None,
    width: Side | None = None,
    height: Side | None = None,
    gravity: Gravity = "center",
) -> Image:
    """Cut a part out of images.

    Give either a box, or a width, a height or both.

    Args:
        image: the image to cut. uint8, (H, W) gray, (H, W, 3) BGR or (H, W, 4) BGR with alpha.
        box: x and y of the top left corner, width and height, px. It must lie within the image.
        width: width of the part, px. By default, that of the image.
        height: height of the part, px. By default, that of the image.
        gravity: the side or corner of the image to keep, or its middle. It has no effect on a box.

    Returns:
        The part, contiguous, with the channels of the image. An odd pixel more is cut from the
        right or the bottom of a centred part.

    Raises:
        ParameterError: there is a box and a width or height, or neither.
        ShapeError: the part does not lie within the image.
    """
    given = size_of(image)
    if box is not None:
        if width is not None or height is not None:
            raise ParameterError("box", "given with a width or height", "either of them")
        corner, size = box[:2], box[2:]
    elif width is None and height is None:
        raise ParameterError("box", "not given", "a box, or a width, a height or both")
    else:
        size = width or given[0], height or given[1]
        corner = gravitate(size, given, gravity)
    if any(at < 0 or at + side > most for at, side, most in zip(corner, size, given, strict=True)):
        place = f"{described(size)} at x={corner[0]}, y={corner[1]}" if box else described(size)
        raise ShapeError(f"the part, {place}, must lie within the image, {described(given)}")
    return np.ascontiguousarray(cut(image, corner, size))
