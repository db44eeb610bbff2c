"""TIFF directories: the tags of a TIFF file, and the orientation in any file's EXIF block.

An EXIF block is a small TIFF, so one reader serves both. It reads a directory's integer tags,
counts the pages, and never reads a pixel. Offsets and counts are not trusted: each is checked
against the size of the file before it is followed, and every loop has a limit.

Sources: Adobe, "TIFF Revision 6.0", 1992, sections 2 and 8; Aware Systems, "BigTIFF File Format
Proposal"; the orientation's values as in Exif 3.0, 4.6.5.1.6.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from agewell.shared.protocol.formats import FORMATS

_SUBFILE_TYPE, _ORIENTATION = 254, 274
_INTEGERS = {
    1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q",
    6: "B", 8: "H", 9: "I", 17: "Q",  # signed: read as unsigned, negative numbers become too large
}  # fmt: skip
"""The types of whole numbers, and the format letter of struct for each."""

_BYTES = (1, 7)  # types: bytes, undefined
_MOST_PAGES = 10_000  # counting stops here, so that a hostile file cannot block the worker
_MOST_ENTRIES = 65_535  # of one directory: the limit of classic TIFF
_TAGS_OF_PIXELS = {
    254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 317, 320, 322, 323, 324,
    325, 338, 339, 347,
}  # fmt: skip
_REDUCED_RESOLUTION = 1  # the lowest bit of a page's subfile type


@dataclass(frozen=True, slots=True)
class Record:
    """One tag: the type and number of its values, and the position of the first in the file."""

    kind: int
    count: int
    position: int


class Page(NamedTuple):
    """The first page of a file, and the number of its pages."""

    directory: "Directory"
    frames: int


class _Variant(NamedTuple):
    """The sizes that differ between classic TIFF and BigTIFF, as format letters of struct."""

    offset: str
    entries: str  # the type of the number of entries

    @property
    def entry_bytes(self) -> int:
        return 4 + 2 * struct.calcsize(self.offset)


_CLASSIC, _BIG = _Variant("I", "H"), _Variant("Q", "Q")


@dataclass(frozen=True)
class Directory:
    """The tags of one page."""

    data: bytes = field(repr=False)
    order: str  # struct's byte order
    entries: dict[int, Record]
    following: int  # offset of the next page's directory; 0 if there is none

    @classmethod
    def read(cls, data: bytes, at: int | None = None) -> Self:
        """Read the directory at an offset, by default the first.

        Raises:
            ValueError: the data is not TIFF, ends within the directory, or has a tag twice.
        """
        order, variant = _order(data), _variant(data)
        start = _first_directory(data) if at is None else at
        entries: dict[int, Record] = {}
        for tag, entry in _entries(data, start):
            if tag in entries and tag in _TAGS_OF_PIXELS:
                raise ValueError(f"damaged: its TIFF directory has tag {tag} twice")
            entries.setdefault(tag, entry)
        end = _end_of_entries(data, order, variant, start)
        (following,) = _unpack(data, order + variant.offset, end)
        return cls(data, order, entries, following)

    def integers(self, tag: int, most: int) -> tuple[int, ...]:
        """Return up to `most` values of a tag, or () if it is missing or has no whole numbers."""
        entry = self.entries.get(tag)
        if entry is None or entry.kind not in _INTEGERS:
            return ()
        pattern = f"{self.order}{min(entry.count, most)}{_INTEGERS[entry.kind]}"
        return _unpack(self.data, pattern, entry.position)

    def integer(self, tag: int, default: int) -> int:
        """Return a tag's first value, or `default` if it is missing or is no whole number."""
        return next(iter(self.integers(tag, 1)), default)

    def array(self, tag: int, most: int) -> npt.NDArray[np.uint64]:
        """Return up to `most` values of a tag as an array, (n,) uint64.

        It is empty if the tag is missing or has no whole numbers.

        Raises:
            ValueError: the file ends within the values.
        """
        entry = self.entries.get(tag)
        if entry is None or entry.kind not in _INTEGERS:
            return np.empty(0, np.uint64)
        dtype = np.dtype(self.order + _INTEGERS[entry.kind])
        count = min(entry.count, most)
        _check_within(self.data, entry.position, count * dtype.itemsize)
        return np.frombuffer(self.data, dtype, count, entry.position).astype(np.uint64)

    def content(self, tag: int) -> bytes:
        """Return the bytes of a tag, or b"" if it is missing or has no bytes.

        Raises:
            ValueError: the file ends within the bytes.
        """
        entry = self.entries.get(tag)
        if entry is None or entry.kind not in _BYTES:
            return b""
        _check_within(self.data, entry.position, entry.count)
        return self.data[entry.position : entry.position + entry.count]

    @property
    def orientation(self) -> int | None:
        """The orientation, 1..8, or None if the tag is missing or has another value.

        Any type of whole number is accepted, and the first of several values counts, as in Pillow.
        """
        value = self.integer(_ORIENTATION, 0)
        return value if 1 <= value <= 8 else None

    @property
    def is_reduced(self) -> bool:
        """True if the page says that it is a smaller copy of another one."""
        return bool(self.integer(_SUBFILE_TYPE, 0) & _REDUCED_RESOLUTION)


def read_first_page(data: bytes) -> Page:
    """Read the first page of a TIFF file and count the pages, without smaller copies of it.

    Raises:
        ValueError: the file ends within a directory, or the directories form a circle.
    """
    directory = Directory.read(data)
    return Page(directory, 1 + _pages_from(data, directory.following))


def exif_orientation(block: bytes) -> int | None:
    """Return the orientation in an EXIF block, 1..8, or None.

    A damaged EXIF block is no reason to refuse an intact picture. Damage after the orientation
    is ignored, as image viewers do.
    """
    try:
        for tag, entry in _entries(block, _first_directory(block)):
            if tag == _ORIENTATION:
                return Directory(block, _order(block), {tag: entry}, 0).orientation
    except ValueError:
        return None
    return None


def _order(data: bytes) -> str:
    """Return the byte order as struct writes it."""
    if data[:4] not in FORMATS["tiff"].magics:
        raise ValueError("damaged: it does not begin with a byte order of TIFF")
    return "<" if data[:1] == b"I" else ">"


def _variant(data: bytes) -> _Variant:
    return _BIG if b"+" in data[2:4] else _CLASSIC


def _first_directory(data: bytes) -> int:
    """Return the offset of the first directory."""
    order, variant = _order(data), _variant(data)
    if variant is _BIG and _unpack(data, order + "HH", 4) != (8, 0):
        raise ValueError("damaged: a BigTIFF whose offsets are not of 8 bytes")
    (start,) = _unpack(data, order + variant.offset, 8 if variant is _BIG else 4)
    return int(start)


def _entries(data: bytes, start: int) -> Iterator[tuple[int, Record]]:
    """Yield the number and the entry of each tag of a directory."""
    order, variant = _order(data), _variant(data)
    end = _end_of_entries(data, order, variant, start)
    first = start + struct.calcsize(variant.entries)
    for position in range(first, end, variant.entry_bytes):
        yield _entry(data, order, variant, position)


def _end_of_entries(data: bytes, order: str, variant: _Variant, start: int) -> int:
    (count,) = _unpack(data, order + variant.entries, start)
    if count > _MOST_ENTRIES:
        raise ValueError(f"damaged: a TIFF directory of {count} entries")
    return start + struct.calcsize(variant.entries) + variant.entry_bytes * count


def _entry(data: bytes, order: str, variant: _Variant, at: int) -> tuple[int, Record]:
    """Read the number and the entry of a tag. Short values are stored in the entry itself."""
    tag, kind, count = _unpack(data, f"{order}HH{variant.offset}", at)
    room = struct.calcsize(variant.offset)
    position = at + 4 + room
    size = struct.calcsize(_INTEGERS.get(kind, "B")) * count
    if size > room:
        (position,) = _unpack(data, order + variant.offset, position)
    return tag, Record(kind, count, position)


def _pages_from(data: bytes, following: int) -> int:
    """Count the pages that follow, up to a limit. Smaller copies are not counted."""
    order, variant = _order(data), _variant(data)
    seen: set[int] = set()
    pages = 0
    while following and len(seen) < _MOST_PAGES:
        if following in seen:
            raise ValueError("damaged: the TIFF directories form a circle")
        seen.add(following)
        pages += not _begins_reduced(data, order, variant, following)
        end = _end_of_entries(data, order, variant, following)
        (following,) = _unpack(data, order + variant.offset, end)
    return pages


def _begins_reduced(data: bytes, order: str, variant: _Variant, start: int) -> bool:
    """Return True if the directory's first tag says that the page is a smaller copy."""
    position = start + struct.calcsize(variant.entries)
    tag, entry = _entry(data, order, variant, position)
    first = Directory(data, order, {tag: entry}, 0)
    return tag == _SUBFILE_TYPE and first.is_reduced


def _unpack(data: bytes, pattern: str, position: int) -> tuple[int, ...]:
    _check_within(data, position, struct.calcsize(pattern))
    return struct.unpack_from(pattern, data, position)


def _check_within(data: bytes, position: int, size: int) -> None:
    if position + size > len(data):
        raise ValueError("truncated: the file ends within its header")
