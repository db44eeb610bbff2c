"""The size of an image before it was decoded smaller.

libjpeg can decode a JPEG at some eighths of its size, which takes less time. It
rounds the sides up, so the last row and column of pixels can be parts of one. Counted as a whole,
they would stretch the image.
"""

import math

from agewell.workers.imaging.geometry import Size, size_of
from agewell.workers.imaging.headers import read_header
from agewell.workers.imaging.image import Image


def upright_size(data: bytes, name: str) -> Size:
    """Return the width and the height of a file's image, turned upright, in px.

    Raises:
        UnknownFormatError, UndecodableError: the header cannot be read.
    """
    header = read_header(data, name)
    if header.orientation >= 5:  # turned by a right angle
        return header.height, header.width
    return header.width, header.height


def whole_size(image: Image, data: bytes | None) -> tuple[Size, float]:
    """Return the size of the whole image, and the scale at which it was decoded, 0 to 1.

    Args:
        image: the decoded image, upright.
        data: the file that it was decoded from. None: it does not come from a file.
    """
    given = size_of(image)
    if data is None:
        return given, 1
    whole = upright_size(data, "image")
    for eighths in range(8, 0, -1):
        if given == (math.ceil(whole[0] * eighths / 8), math.ceil(whole[1] * eighths / 8)):
            return whole, eighths / 8
    return given, 1
