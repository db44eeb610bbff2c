"""The decoder of each format. It gets only those parts of a file that the pixels need.

OpenCV would unpack the metadata as well. A kilobyte of compressed text can take a gigabyte of
memory.
"""

from collections.abc import Callable
from typing import cast

import cv2
import numpy as np

from agewell.shared.errors import UndecodableError, UnsupportedPixelsError
from agewell.shared.protocol.formats import Format
from agewell.workers.imaging import webp
from agewell.workers.imaging.bmp import pixels as bmp_pixels
from agewell.workers.imaging.image import Image
from agewell.workers.imaging.jpeg import header as jpeg
from agewell.workers.imaging.jpeg import pixels as jpeg_pixels
from agewell.workers.imaging.png import header as png
from agewell.workers.imaging.tiff import pixels as tiff_pixels

# OpenCV also reports damaged files on stderr. The errors raised here say it with the file's name.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def decode_pixels(image_format: Format, data: bytes, name: str, divisor: int = 1) -> Image:
    """Decode a file whose header was read and accepted.

    Args:
        image_format: the format that the header says.
        data: the whole file.
        name: the name of the image in error messages.
        divisor: 2, 4 or 8 allows to decode a JPEG that many times smaller.

    Returns:
        (H, W) gray, (H, W, 3) BGR or (H, W, 4) BGR with straight alpha; uint8; as stored,
        before the orientation is applied. A JPEG that only OpenCV can decode has its full size.

    Raises:
        UndecodableError: the pixels are truncated or damaged.
        UnsupportedPixelsError: the file is intact, but its kind of pixels is not supported.
    """
    try:
        return _DECODERS[image_format](data, name, divisor)
    except ValueError as error:
        raise UndecodableError(name, str(error)) from None
    except NotImplementedError as error:
        raise UnsupportedPixelsError(name, f"not supported: {error}") from None


def _by_opencv(data: bytes | bytearray, name: str) -> Image:
    """Decode with OpenCV, without applying the orientation."""
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise UndecodableError(name, f"damaged: {error.err}") from error
    if image is None:
        raise UndecodableError(name, "truncated or damaged: its pixels cannot be decoded")
    if image.dtype != np.uint8:
        reason = f"{image.dtype} channels; save it with 8 bits a channel"
        raise UnsupportedPixelsError(name, reason)
    return cast(Image, image)


def _jpeg(data: bytes, name: str, divisor: int) -> Image:
    pixels = jpeg.pixels_only(data)
    image = jpeg_pixels.decode(pixels, divisor)
    return _by_opencv(pixels, name) if image is None else image


_DECODERS: dict[Format, Callable[[bytes, str, int], Image]] = {
    "png": lambda data, name, _divisor: _by_opencv(png.pixels_only(data), name),
    "jpeg": _jpeg,
    "webp": lambda data, name, _divisor: _by_opencv(webp.pixels_only(data), name),
    "tiff": lambda data, _name, _divisor: tiff_pixels.decode(data),
    "bmp": lambda data, _name, _divisor: bmp_pixels.decode(data),
}
