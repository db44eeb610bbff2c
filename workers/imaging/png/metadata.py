"""Metadata of a PNG file: reading it, and adding it.

Sources: W3C, "Portable Network Graphics, third edition", section 11.3; Adobe, "XMP specification
part 3", 1.1.5.
"""

import zlib

from agewell.workers.imaging.metadata import Embedded, Metadata
from agewell.workers.imaging.png.encode import chunk
from agewell.workers.imaging.png.header import TEXTS, read_chunks
from agewell.workers.imaging.png.text import XMP, Text, exif_in, xmp_in

_HEADER_END = 33  # of the signature and of IHDR, which come first
_UNPACKED_TEXT = b"\0\0\0\0\0"  # end of the keyword, no compression, no language, no translation


def read(data: bytes, most_profile_bytes: int) -> Embedded:
    """Read the metadata of a PNG file, the first of each kind.

    Args:
        data: the whole file.
        most_profile_bytes: a larger ICC profile is cut after one byte more.

    Raises:
        ValueError: the file is damaged.
        struct.error: the file ends within its header.
    """
    chunks = list(read_chunks(data))
    texts = [Text(kind, data, start, end) for kind, start, end in chunks if kind in TEXTS]
    blocks = [data[start:end] for kind, start, end in chunks if kind == b"eXIf"]
    profiles = [data[start:end] for kind, start, end in chunks if kind == b"iCCP"]
    return Embedded(
        next(iter([*blocks, *exif_in(texts)]), b""),
        next(iter(xmp_in(texts)), b""),
        _unpacked(profiles[0], most_profile_bytes + 1) if profiles else b"",
    )


def _unpacked(content: bytes, most: int) -> bytes:
    """Return the profile in a chunk: a name, a zero, the compression 0, and the packed profile."""
    packed = content.partition(b"\0")[2][1:]
    try:
        return zlib.decompressobj().decompress(packed, most)
    except zlib.error:
        return packed  # not empty, so that it counts as damaged and not as missing


def add(data: bytes, metadata: Metadata) -> bytes:
    """Return a PNG file with metadata."""
    added: list[bytes] = []
    if metadata.exif:
        added += chunk(b"eXIf", metadata.exif)
    if metadata.xmp:
        added += chunk(b"iTXt", XMP + _UNPACKED_TEXT + metadata.xmp)
    return b"".join([data[:_HEADER_END], *added, data[_HEADER_END:]])
