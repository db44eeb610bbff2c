"""Metadata of a TIFF file: reading it, and adding it.

EXIF is not a block in a TIFF: its values lie anywhere in the file, so it is not supported.

Sources: TIFF 6.0, section 2; Adobe, "XMP specification part 3", 1.1.4; ICC.1:2022, annex B.4.
"""

import struct

from agewell.workers.imaging.metadata import Embedded, Metadata
from agewell.workers.imaging.tiff.tags import read_first_page

_XMP, _PROFILE = 700, 34675
_BYTES = 1  # the type of a tag
_ENTRY_BYTES = 12


def read(data: bytes) -> Embedded:
    """Read the XMP packet and the ICC profile of the first page.

    Raises:
        ValueError: the file is damaged.
    """
    page = read_first_page(data).directory
    return Embedded(xmp=page.content(_XMP), profile=page.content(_PROFILE))


def add(data: bytes, metadata: Metadata) -> bytes:
    """Return a TIFF file with an XMP packet. The file must be classic TIFF and have none.

    A new directory with one entry more is appended, and the header points to it.
    """
    if not metadata.xmp:
        return data
    order = "<" if data[:1] == b"I" else ">"
    (start,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, start)
    end = start + 2 + _ENTRY_BYTES * count
    entries = [data[at : at + _ENTRY_BYTES] for at in range(start + 2, end, _ENTRY_BYTES)]
    position = len(data) + len(data) % 2
    entries.append(struct.pack(order + "HHII", _XMP, _BYTES, len(metadata.xmp), position))
    entries.sort(key=lambda entry: int(struct.unpack_from(order + "H", entry)[0]))
    content = metadata.xmp + b"\0" * (len(metadata.xmp) % 2)
    return b"".join(
        [
            data[:4],
            struct.pack(order + "I", position + len(content)),
            data[8:],
            b"\0" * (len(data) % 2),
            content,
            struct.pack(order + "H", len(entries)),
            *entries,
            data[end : end + 4],
        ]
    )
