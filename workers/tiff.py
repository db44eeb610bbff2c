"""TIFF directories: the header of a TIFF file, and the orientation in any file's EXIF block.

An EXIF block is a small TIFF, so one reader serves both. It reads a first directory and
counts the others; it never touches a pixel.

Source: Adobe, "TIFF Revision 6.0", 1992, sections 2, 8 and 18; the orientation's values as in
Exif 3.0, 4.6.5.1.6.
"""

import struct
from typing import NamedTuple

MAGICS = (b"II*\x00", b"MM\x00*")

_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _ORIENTATION = 256, 257, 258, 262, 274
_SAMPLES, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 277, 338, 339
_WANTED = {
    _WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _ORIENTATION, _SAMPLES, _EXTRA_SAMPLES, _SAMPLE_FORMAT,
}  # fmt: skip
_INTEGERS = {1: "B", 3: "H", 4: "I"}
_MOST_VALUES = 8  # of one tag; no picture that is taken has more channels
_MOST_PAGES = 10_000  # counting stops there: a hostile chain must not hold the worker

_PREMULTIPLIED, _STRAIGHT = 1, 2
_COLOUR_MODELS = {
    0: "gray", 1: "gray", 2: "RGB", 3: "palette", 4: "a transparency mask", 5: "CMYK",
    6: "YCbCr", 8: "Lab", 9: "ICC Lab", 10: "ITU Lab", 32803: "a raw sensor mosaic",
    32844: "LogL", 32845: "LogLuv", 34892: "linear raw",
}  # fmt: skip
_TAKEN_LAYOUTS = {
    "gray": (1, {1, 8}), "palette": (1, {1, 2, 4, 8}), "RGB": (3, {8}), "YCbCr": (3, {8}),
}  # fmt: skip


class Tag(NamedTuple):
    """One tag's values, and where in the file the first of them stands."""

    values: tuple[int, ...]
    position: int


class Page(NamedTuple):
    """What the first directory says of its picture, and how many directories there are."""

    width: int
    height: int
    frames: int
    orientation: int
    refusal: str | None  # why the pixels are not taken


def read_page(data: bytes) -> Page:
    """The first page of a TIFF file.

    Raises:
        ValueError: a size is missing, or the chain of directories runs in a circle.
        struct.error: the file ends within a directory.
    """
    order = _order(data)
    tags, following = _directory(data, order)
    if _WIDTH not in tags or _HEIGHT not in tags:
        raise ValueError("the TIFF directory gives no size")
    width, height = _first(tags, _WIDTH, 0), _first(tags, _HEIGHT, 0)
    frames = 1 + _pages_from(data, order, following)
    return Page(width, height, frames, _orientation(tags), _refusal(tags))


def exif_orientation(block: bytes) -> int | None:
    """The orientation, 1..8, in an EXIF block; None if it has none or is damaged.

    A damaged EXIF block is no reason to refuse a sound picture, and viewers ignore it.
    """
    try:
        value = _first(_directory(block, _order(block))[0], _ORIENTATION, 0)
    except (struct.error, ValueError):
        return None
    return value if 1 <= value <= 8 else None


def keep_colours(data: bytes) -> bytes:
    """The same file, its alpha so declared that libtiff leaves the colours as they are.

    libtiff's RGBA interface, through which OpenCV reads, multiplies colours by a straight
    alpha: the colours under a small alpha would be lost. It leaves alone what is declared as
    multiplied already, so a straight alpha is declared to be that.
    """
    order = _order(data)
    extra = _directory(data, order)[0].get(_EXTRA_SAMPLES)
    if extra is None or extra.values != (_STRAIGHT,):
        return data
    patched = bytearray(data)
    struct.pack_into(order + "H", patched, extra.position, _PREMULTIPLIED)
    return bytes(patched)


def _order(data: bytes) -> str:
    """The byte order as struct writes it."""
    if data[:4] not in MAGICS:
        raise ValueError("neither byte order of TIFF")
    return "<" if data[:1] == b"I" else ">"


def _directory(data: bytes, order: str, at: int | None = None) -> tuple[dict[int, Tag], int]:
    """The wanted integer tags of a directory (by default the first), and the next one's offset."""
    start = struct.unpack_from(order + "I", data, 4)[0] if at is None else at
    (count,) = struct.unpack_from(order + "H", data, start)
    tags = {}
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, length = struct.unpack_from(order + "HHI", data, entry)
        if tag in _WANTED and kind in _INTEGERS and length > 0:
            tags[tag] = _values(data, order, entry + 8, _INTEGERS[kind], length)
    (following,) = struct.unpack_from(order + "I", data, start + 2 + 12 * count)
    return tags, following


def _values(data: bytes, order: str, position: int, letter: str, length: int) -> Tag:
    """A tag's first values: up to four bytes stand in the entry, more of them elsewhere."""
    if length * struct.calcsize(letter) > 4:
        (position,) = struct.unpack_from(order + "I", data, position)
    pattern = f"{order}{min(length, _MOST_VALUES)}{letter}"
    return Tag(struct.unpack_from(pattern, data, position), position)


def _pages_from(data: bytes, order: str, following: int) -> int:
    """How many directories follow, counted up to a bound."""
    seen: set[int] = set()
    while following and len(seen) < _MOST_PAGES:
        if following in seen:
            raise ValueError("the TIFF directories run in a circle")
        seen.add(following)
        (count,) = struct.unpack_from(order + "H", data, following)
        (following,) = struct.unpack_from(order + "I", data, following + 2 + 12 * count)
    return len(seen)


def _first(tags: dict[int, Tag], tag: int, default: int) -> int:
    return tags[tag].values[0] if tag in tags else default


def _orientation(tags: dict[int, Tag]) -> int:
    value = _first(tags, _ORIENTATION, 1)
    return value if 1 <= value <= 8 else 1


def _refusal(tags: dict[int, Tag]) -> str | None:
    """Why the pixels are not taken; None where they are."""
    bits = max(tags[_BITS].values) if _BITS in tags else 1
    number = {1: "integer", 2: "integer", 3: "floating-point"}.get(
        _first(tags, _SAMPLE_FORMAT, 1), "unusual"
    )
    photometric = _first(tags, _PHOTOMETRIC, 1)
    model = _COLOUR_MODELS.get(photometric, f"colour model {photometric}")
    if model not in _TAKEN_LAYOUTS:
        return f"its colours are {model}; save it as RGB or gray"
    colours, depths = _TAKEN_LAYOUTS[model]
    if number != "integer" or bits not in depths:
        return f"{bits}-bit {number} channels ({model}); save it with 8 bits a channel"
    extra = _first(tags, _SAMPLES, colours) - colours
    if extra not in (0, 1) or (extra and model != "RGB"):
        return f"{model} of {colours + extra} channels; save it as PNG"
    if extra and _first(tags, _EXTRA_SAMPLES, 0) == _PREMULTIPLIED:
        return "its colours are multiplied by alpha; save it with straight alpha, or as PNG"
    return None
