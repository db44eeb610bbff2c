"""Metadata of a JPEG file: reading it, and adding it.

Sources: Exif 3.0, 4.7; Adobe, "XMP specification part 3", 1.1.3; ICC.1:2022, annex B.4.
"""

import struct

from agewell.workers.imaging.jpeg.header import read_segments
from agewell.workers.imaging.metadata import Embedded, Metadata
from agewell.workers.imaging.orientation import EXIF_PREFIX, XMP_IN_JPEG

_APP0, _APP1, _APP2 = 0xE0, 0xE1, 0xE2
_PROFILE_PREFIX = b"ICC_PROFILE\0"
_LONGEST_SEGMENT = 65_533  # bytes of content
_START_BYTES = 2


def read(data: bytes) -> Embedded:
    """Read the metadata of a JPEG file, the first of each kind.

    Raises:
        ValueError: the file is damaged.
        struct.error: the file ends within its header.
    """
    contents = [
        (each.marker, data[each.start : each.end])
        for each in read_segments(data)
        if each.marker in (_APP1, _APP2)
    ]
    first = [content for marker, content in contents if marker == _APP1]
    exif = next((each for each in first if each.startswith(EXIF_PREFIX)), b"")
    xmp = next((each for each in first if each.startswith(XMP_IN_JPEG)), b"")
    profile = [
        content.removeprefix(_PROFILE_PREFIX)
        for marker, content in contents
        if marker == _APP2 and content.startswith(_PROFILE_PREFIX)
    ]
    # Each part begins with its number and the number of parts, a byte each.
    return Embedded(exif, xmp.removeprefix(XMP_IN_JPEG), b"".join(p[2:] for p in sorted(profile)))


def add(data: bytes, metadata: Metadata) -> bytes:
    """Return a JPEG file with metadata. Parts longer than a segment, 64 KiB, are left out."""
    position = _START_BYTES
    if data[3] == _APP0:  # JFIF, which must be the first segment
        position += 2 + struct.unpack_from(">H", data, position + 2)[0]
    contents = ((EXIF_PREFIX, metadata.exif), (XMP_IN_JPEG, metadata.xmp))
    segments = [
        struct.pack(">BBH", 0xFF, _APP1, 2 + len(prefix) + len(content)) + prefix + content
        for prefix, content in contents
        if content and len(prefix) + len(content) <= _LONGEST_SEGMENT
    ]
    return b"".join([data[:position], *segments, data[position:]])
