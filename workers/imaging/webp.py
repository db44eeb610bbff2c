"""The WebP format: reading the header, and removing the metadata.

Source: RFC 9649.
"""

import struct
from collections.abc import Iterator

from agewell.workers.imaging.image_header import MOST_PARTS, Header
from agewell.workers.imaging.orientation import find_orientation

_PIXELS = (b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF")
_ALPHA_OR_ANIMATION = 0x10 | 0x02  # flags of VP8X; those of metadata are cleared


def read_header(data: bytes) -> Header:
    """Read the header of a WebP file.

    Raises:
        ValueError: the file is truncated, or has too many chunks.
        struct.error: the file ends within a chunk's header.
    """
    size = _size(data)
    if size > len(data):
        raise ValueError(f"truncated: a WebP of {size} bytes, but the file has {len(data)}")
    width = height = frames = 0
    exif, xmp = [], []
    for kind, start, end in _chunks(data, size):
        if kind in _SIZES and not width:
            width, height = _SIZES[kind](data, start)
        if kind == b"ANMF":
            frames += 1
        elif kind == b"EXIF":
            exif.append(data[start:end])
        elif kind == b"XMP ":
            xmp.append(data[start:end])
    return Header("webp", width, height, frames or 1, find_orientation(exif, xmp))


def pixels_only(data: bytes) -> bytes:
    """Return the file without its metadata and without bytes after its end."""
    kept = []
    for kind, start, end in _chunks(data, _size(data)):
        if kind in _PIXELS:
            kept.append(data[start - 8 : end + (end - start) % 2])
        elif kind == b"VP8X":
            flags = data[start] & _ALPHA_OR_ANIMATION
            kept.append(data[start - 8 : start] + bytes([flags]) + data[start + 1 : end])
    content = b"WEBP" + b"".join(kept)
    return b"RIFF" + struct.pack("<I", len(content)) + content


def _size(data: bytes) -> int:
    """Return the file's size in bytes, as its first chunk says."""
    (size,) = struct.unpack_from("<I", data, 4)
    return int(size) + 8


def _chunks(data: bytes, size: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type of each chunk, and the start and end of its content."""
    position = 12
    for _ in range(MOST_PARTS):
        if position + 8 > size:
            return
        kind, length = struct.unpack_from("<4sI", data, position)
        yield kind, position + 8, position + 8 + length
        position += 8 + length + length % 2
    raise ValueError(f"a WebP of more than {MOST_PARTS} chunks")


def _vp8_size(data: bytes, start: int) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, start + 6)
    return width & 0x3FFF, height & 0x3FFF


def _vp8l_size(data: bytes, start: int) -> tuple[int, int]:
    (packed,) = struct.unpack_from("<I", data, start + 1)
    return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1


def _vp8x_size(data: bytes, start: int) -> tuple[int, int]:
    width, height = data[start + 4 : start + 7], data[start + 7 : start + 10]
    return int.from_bytes(width, "little") + 1, int.from_bytes(height, "little") + 1


_SIZES = {b"VP8 ": _vp8_size, b"VP8L": _vp8l_size, b"VP8X": _vp8x_size}
