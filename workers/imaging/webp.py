"""The WebP format: reading the header, and removing, reading and adding the metadata.

Source: RFC 9649.
"""

import struct
from collections.abc import Iterable, Iterator

from agewell.workers.imaging.image_header import MOST_PARTS, Header
from agewell.workers.imaging.metadata import Embedded, Metadata
from agewell.workers.imaging.orientation import find_orientation

_PIXELS = (b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF")
_ALPHA, _ANIMATION, _EXIF, _XMP = 0x10, 0x02, 0x08, 0x04  # flags of VP8X


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
            flags = data[start] & (_ALPHA | _ANIMATION)
            kept.append(data[start - 8 : start] + bytes([flags]) + data[start + 1 : end])
    return _file(kept)


def read_metadata(data: bytes) -> Embedded:
    """Read the metadata of a WebP file, the first of each kind."""
    found: dict[bytes, bytes] = {}
    for kind, start, end in _chunks(data, _size(data)):
        if kind in (b"EXIF", b"XMP ", b"ICCP"):
            found.setdefault(kind, data[start:end])
    return Embedded(found.get(b"EXIF", b""), found.get(b"XMP ", b""), found.get(b"ICCP", b""))


def add_metadata(data: bytes, metadata: Metadata) -> bytes:
    """Return a WebP file of one picture with metadata. It must have none."""
    header = read_header(data)
    chunks = {kind: data[start:end] for kind, start, end in _chunks(data, _size(data))}
    flags = chunks.pop(b"VP8X", b"\0")[0]
    if b"VP8L" in chunks and chunks[b"VP8L"][4] & _VP8L_ALPHA:
        flags |= _ALPHA
    flags |= (_EXIF if metadata.exif else 0) | (_XMP if metadata.xmp else 0)
    sides = ((side - 1).to_bytes(3, "little") for side in (header.width, header.height))
    first = bytes([flags, 0, 0, 0]) + b"".join(sides)
    added = {b"EXIF": metadata.exif, b"XMP ": metadata.xmp}
    last = {kind: content for kind, content in added.items() if content}
    return _file(_chunk(*each) for each in ({b"VP8X": first} | chunks | last).items())


def _chunk(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _file(chunks: Iterable[bytes]) -> bytes:
    content = b"WEBP" + b"".join(chunks)
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


_VP8L_ALPHA = 0x10  # in the last byte of its header, after a mark and two sides of 14 bits
_SIZES = {b"VP8 ": _vp8_size, b"VP8L": _vp8l_size, b"VP8X": _vp8x_size}
