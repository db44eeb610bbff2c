"""The strips and tiles of a TIFF page, and their positions in the file.

Sources: TIFF 6.0, sections 3 and 15.
"""

from collections.abc import Iterator
from typing import NamedTuple

from agewell.workers.imaging.tiff.layout import NONE, PICTURES, Layout
from agewell.workers.imaging.tiff.tags import Directory

_STRIP_TAGS, _TILE_TAGS = (273, 279), (324, 325)  # offsets, sizes
_MOST_BLOCKS = 65_536  # enough for the tallest picture in strips of one row and one of 4 samples
_MOST_PICTURES = 16_384  # for blocks that are JPEG or WebP files, which take longer

_USUAL_PIXELS = 4096 * 4096  # a tile of this size is accepted for a picture of any size


class Block(NamedTuple):
    """One strip or tile."""

    name: str  # for errors
    plane: int  # the sample that it holds, if each sample has separate blocks
    left: int  # px
    top: int  # px
    rows: int  # rows that it must hold: the last strip may have fewer than the others
    data: bytes


class _Place(NamedTuple):
    plane: int
    left: int
    top: int
    rows: int


def blocks(data: bytes, page: Directory, layout: Layout) -> Iterator[Block]:
    """Yield the blocks of a page, in the order of its tags.

    Raises:
        ValueError: a block is missing, or is not within the file, or its size is damaged.
        NotImplementedError: there are too many blocks.
    """
    _check_sizes(layout)
    places = list(_places(layout))
    kind = "tile" if layout.tiled else "strip"
    tags = _TILE_TAGS if layout.tiled and _TILE_TAGS[0] in page.entries else _STRIP_TAGS
    offsets = page.array(tags[0], len(places)).tolist()
    sizes = page.array(tags[1], len(places)).tolist()
    if tags[1] not in page.entries and layout.compression == NONE:
        sizes = [layout.row_bytes * place.rows for place in places]
    if min(len(offsets), len(sizes)) < len(places):
        found = min(len(offsets), len(sizes))
        raise ValueError(f"damaged: its tags place {found} of {len(places)} {kind}s")
    for number, (place, offset, size) in enumerate(zip(places, offsets, sizes, strict=True), 1):
        name = f"{kind} {number} of {len(places)}"
        if offset == 0 or size == 0:
            raise ValueError(f"truncated or damaged: {name} is missing")
        if layout.compression == NONE:  # some programs write a wrong size here
            size = min(size, layout.row_bytes * place.rows)
        if offset + size > len(data):
            raise ValueError(f"truncated or damaged: {name} ends beyond the end of the file")
        yield Block(name, *place, data[offset : offset + size])


def _check_sizes(layout: Layout) -> None:
    """Refuse blocks that need far more memory than the picture itself."""
    width, height = layout.block_width, layout.block_height
    if width < 1 or height < 1:
        raise ValueError(f"damaged: strips or tiles of {width} x {height} px")
    across, down = -(-layout.width // width), -(-layout.height // height)
    usual = max(layout.width * layout.height, _USUAL_PIXELS)
    if width * height > usual or across * width * down * height > 4 * usual:
        raise ValueError(f"damaged: tiles of {width} x {height} px are far too large")
    most = _MOST_PICTURES if layout.compression in PICTURES else _MOST_BLOCKS
    count = across * down * (layout.samples if layout.separate else 1)
    if count > most:
        found = f"{count:,} strips or tiles; the limit is {most:,}"
        raise NotImplementedError(f"{found}; save it with larger ones")


def _places(layout: Layout) -> Iterator[_Place]:
    """Yield the place of each block in the picture."""
    for plane in range(layout.samples if layout.separate else 1):
        for top in range(0, layout.height, layout.block_height):
            left_over = layout.height - top
            rows = layout.block_height if layout.tiled else min(layout.block_height, left_over)
            for left in range(0, layout.width, layout.block_width):
                yield _Place(plane, left, top, rows)
