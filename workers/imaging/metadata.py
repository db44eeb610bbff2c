"""Metadata that a result may keep: EXIF and XMP, without anything that is no longer true.

Pixels of a result are upright, so the orientation becomes 1. Thumbnails are removed, because they
show the original. The values are overwritten in place: many cameras store notes that contain
positions within the block, and writing the block again would break them.

Sources: Exif 3.0, 4.5 and 4.6; TIFF 6.0, section 2.
"""

import struct
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from agewell.workers.imaging.orientation import EXIF_PREFIX, with_upright_xmp
from agewell.workers.imaging.tiff.tags import Directory

MOST_BYTES: Final = 2**20
"""The largest EXIF block or XMP packet that is kept. Longer ones are dropped."""

_CLASSIC = {b"II*\0": "<", b"MM\0*": ">"}
_ORIENTATION = 274
_THUMBNAILS = ((513, 514), (273, 279))  # tags of positions and sizes: of a JPEG, of strips
_MOST_STRIPS = 1000
_FORMATS = {1: "B", 3: "H", 4: "I"}  # of struct, by the type of an entry


@dataclass(frozen=True)
class Embedded:
    """Metadata of a file as it is stored, not checked. Missing parts are empty."""

    exif: bytes = field(default=b"", repr=False)  # with or without the prefix that JPEG gives it
    xmp: bytes = field(default=b"", repr=False)
    profile: bytes = field(default=b"", repr=False)  # ICC


@dataclass(frozen=True)
class Metadata:
    """Metadata to write into a file with upright pixels. Empty parts are not written."""

    exif: bytes = field(default=b"", repr=False)  # without prefix
    xmp: bytes = field(default=b"", repr=False)

    def __str__(self) -> str:
        """Name the parts, for people."""
        parts = [name for name, part in (("EXIF", self.exif), ("XMP", self.xmp)) if part]
        return ", ".join(parts) or "none"


def upright(embedded: Embedded) -> Metadata:
    """Return the metadata with the orientation 1, without thumbnails and without damaged parts."""
    return Metadata(_upright_exif(embedded.exif), _upright_xmp(embedded.xmp))


def _upright_exif(stored: bytes) -> bytes:
    if len(stored) > MOST_BYTES:
        return b""
    block = bytearray(stored.removeprefix(EXIF_PREFIX))
    order = _CLASSIC.get(bytes(block[:4]))
    try:
        if order is None:
            return b""
        _reset_orientation(block, order)
        _remove_thumbnail(block, order)
        return _checked(bytes(block))
    except (ValueError, IndexError, struct.error):
        return b""


def _reset_orientation(block: bytearray, order: str) -> None:
    record = Directory.read(bytes(block)).entries.get(_ORIENTATION)
    if record is not None:
        struct.pack_into(order + _FORMATS.get(record.kind, "H"), block, record.position, 1)


def _remove_thumbnail(block: bytearray, order: str) -> None:
    """Overwrite the thumbnail with zeros, or cut it off if it is the last part."""
    data = bytes(block)
    link = _link_position(data, order)
    (following,) = struct.unpack_from(order + "I", data, link)
    struct.pack_into(order + "I", block, link, 0)
    if not following:
        return
    directory = Directory.read(data, following)
    for start, size in chain.from_iterable(_parts(directory, *each) for each in _THUMBNAILS):
        end = min(start + size, len(data))
        block[start:end] = bytes(max(0, end - start))
        if end == len(data):
            del block[start:]


def _parts(directory: Directory, starts: int, sizes: int) -> list[tuple[int, int]]:
    found = (directory.integers(tag, _MOST_STRIPS) for tag in (starts, sizes))
    return list(zip(*found, strict=False))


def _link_position(data: bytes, order: str) -> int:
    """Return the position of the link from the first directory to that of the thumbnail."""
    (start,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, start)
    return int(start) + 2 + 12 * int(count)


def _checked(block: bytes) -> bytes:
    """Return the block if it is still whole: false positions may have pointed at its own tags."""
    directory = Directory.read(block)
    whole = directory.orientation in (None, 1) and not directory.following
    return block if whole else b""


def _upright_xmp(packet: bytes) -> bytes:
    if len(packet) > MOST_BYTES or not packet.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return b""
    return with_upright_xmp(packet)
