"""Read the header of an encoded image without decoding a pixel.

The readers look only at bytes outside the compressed pixels. A hostile file is refused before any
memory is allocated for its pixels. Image libraries are not used here because they apply their own
size limits, change warnings for the whole process, read 16-bit colours as 8-bit ones, or allocate a
WebP's canvas to count its frames.
"""

import struct
from collections.abc import Callable

from agewell.shared.errors import UndecodableError, UnknownFormatError
from agewell.shared.protocol.formats import FORMATS, Format, find_format
from agewell.workers.imaging import webp
from agewell.workers.imaging.bmp import header as bmp
from agewell.workers.imaging.image_header import Header
from agewell.workers.imaging.jpeg import header as jpeg
from agewell.workers.imaging.png import header as png
from agewell.workers.imaging.tiff import layout

__all__ = ["Header", "read_header"]


def read_header(data: bytes, name: str) -> Header:
    """Recognise one of the five formats by its first bytes, and read its header.

    Args:
        data: the whole file.
        name: the name of the image in error messages.

    Raises:
        UnknownFormatError: the bytes are none of JPEG, PNG, WebP, TIFF, BMP.
        UndecodableError: the header is damaged, or the file ends before its end mark.
    """
    found = find_format(data)
    if found is None:
        raise UnknownFormatError(name, _found_instead(data))
    try:
        header = _READERS[found.name](data)
    except (struct.error, IndexError):
        raise UndecodableError(name, "truncated: the file ends within its header") from None
    except ValueError as error:
        raise UndecodableError(name, str(error)) from None
    if header.width < 1 or header.height < 1:
        size = f"{header.width} x {header.height} px"
        raise UndecodableError(name, f"damaged: its header gives a size of {size}")
    return header


def _found_instead(data: bytes) -> str:
    if not data:
        return "empty (0 bytes)"
    *titles, last = (each.title for each in FORMATS.values())
    return f"no {', '.join(titles)} or {last}: its first bytes are {data[:12]!r}"


_READERS: dict[Format, Callable[[bytes], Header]] = {
    "png": png.read_header,
    "jpeg": jpeg.read_header,
    "webp": webp.read_header,
    "tiff": layout.read_header,
    "bmp": bmp.read_header,
}
