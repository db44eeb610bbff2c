"""Read the metadata of an image file, and add metadata to one, in any format."""

import struct
from collections.abc import Callable
from typing import Final

from agewell.shared.protocol.formats import Format, find_format
from agewell.workers.imaging import webp
from agewell.workers.imaging.jpeg import metadata as jpeg
from agewell.workers.imaging.metadata import Embedded, Metadata
from agewell.workers.imaging.png import metadata as png
from agewell.workers.imaging.profile import MOST_PROFILE_BYTES
from agewell.workers.imaging.tiff import metadata as tiff


def read_embedded(data: bytes) -> Embedded:
    """Read the metadata of an image file, the first of each kind.

    It is empty if the file has none, or if the part of the file that should have it is damaged.
    Nothing compressed is unpacked beyond 1 MiB, and an ICC profile beyond its limit.
    """
    found = find_format(data)
    if found is None or found.name not in _READERS:
        return Embedded()
    try:
        return _READERS[found.name](data)
    except (ValueError, IndexError, struct.error):
        return Embedded()


def add_metadata(data: bytes, image_format: Format, metadata: Metadata) -> bytes:
    """Add metadata to a file as OpenCV or the PNG encoder writes it.

    Args:
        data: the whole file, without metadata.
        image_format: its format. BMP holds no metadata, TIFF no EXIF here, and JPEG at most
            64 KiB of each kind. What it cannot hold is left out.
        metadata: the metadata to add.
    """
    writer = _WRITERS.get(image_format)
    return data if writer is None or metadata == Metadata() else writer(data, metadata)


_READERS: Final[dict[Format, Callable[[bytes], Embedded]]] = {
    "jpeg": jpeg.read,
    "png": lambda data: png.read(data, MOST_PROFILE_BYTES),
    "webp": webp.read_metadata,
    "tiff": tiff.read,
}

_WRITERS: Final[dict[Format, Callable[[bytes, Metadata], bytes]]] = {
    "jpeg": jpeg.add,
    "png": png.add,
    "webp": webp.add_metadata,
    "tiff": tiff.add,
}
