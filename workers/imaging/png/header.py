"""The PNG format: reading the header, and keeping only the chunks that the pixels need.

Source: W3C, "Portable Network Graphics, third edition".
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from isal import isal_zlib

from agewell.workers.imaging.image_header import MOST_PARTS, SAVE_8_BITS, Header
from agewell.workers.imaging.orientation import find_orientation
from agewell.workers.imaging.png.stream import append_idat
from agewell.workers.imaging.png.text import Text, exif_in, xmp_in

_Chunk = tuple[bytes, int, int]  # type, start and end of its content

_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT")
_END = b"\0\0\0\0IEND\xae\x42\x60\x82"
TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_GRAY, _RGB, _PALETTE = 0, 2, 3
_CHANNELS = {_GRAY: 1, _RGB: 3, _PALETTE: 1, 4: 2, 6: 4}  # by colour type
_DEPTHS = {_GRAY: (1, 2, 4, 8, 16), _RGB: (8, 16), _PALETTE: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
# Adam7: first column and row of each pass, and the steps between its columns and rows.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
           (0, 1, 1, 2))  # fmt: skip


class _Size(NamedTuple):
    """The first chunk, IHDR."""

    width: int
    height: int
    bits: int
    colour_type: int
    interlaced: bool

    @property
    def packed_bytes(self) -> int:
        """Bytes of all rows of pixels before compression."""
        passes = _PASSES if self.interlaced else ((0, 0, 1, 1),)
        return sum(self._pass_bytes(*each) for each in passes)

    def _pass_bytes(self, left: int, top: int, across: int, down: int) -> int:
        columns = -((left - self.width) // across)
        rows = -((top - self.height) // down)
        row_bits = columns * self.bits * _CHANNELS[self.colour_type]
        return rows * (1 + (row_bits + 7) // 8) if columns > 0 and rows > 0 else 0


def read_header(data: bytes) -> Header:
    """Read the header of a PNG file.

    Raises:
        ValueError: the file is damaged, or ends before its end mark.
        struct.error: the file ends within its header.
    """
    size = _size(data)
    frames, refusal = 1, f"16 bits a channel; {SAVE_8_BITS}" if size.bits == 16 else None
    exif: list[bytes] = []
    texts: list[Text] = []
    for kind, start, end in read_chunks(data):
        if kind == b"acTL":
            (frames,) = struct.unpack_from(">I", data, start)
        elif kind == b"fdAT":
            frames = max(frames, 2)  # in addition to the one in IDAT
        elif kind == b"eXIf":
            exif.append(data[start:end])
        elif kind in TEXTS:
            texts.append(Text(kind, data, start, end))
        elif kind == b"tRNS" and size.colour_type == _GRAY:
            refusal = refusal or "gray with one transparent value; save it as gray with alpha"
        elif kind not in (*_PIXELS, b"IEND") and kind[:1].isupper():
            raise ValueError(f"damaged: a chunk {kind!r}, which PNG does not have")
    orientation = find_orientation([*exif, *exif_in(texts)], xmp_in(texts))
    return Header("png", size.width, size.height, frames, orientation, refusal)


def pixels_only(data: bytes) -> bytearray:
    """Return the file without its metadata, and with its pixels unpacked.

    Raises:
        ValueError: the pixels are damaged, or their size is not that of the header.
    """
    chunks = [each for each in read_chunks(data) if each[0] in _PIXELS]
    size = _size(data)
    image = bytearray(data[:8])
    for _, start, end in _colours(chunks, size.colour_type):
        image += data[start - 8 : end + 4]
    append_idat(image, _checked_parts(data, chunks), size.packed_bytes)
    image += _END
    return image


def _colours(chunks: list[_Chunk], colour_type: int) -> list[_Chunk]:
    """Return the chunks of header, palette and transparent colours in the order of libpng.

    Raises:
        ValueError: there are two of a kind, or libpng would ignore the transparent colours.
    """
    found = sorted((each for each in chunks if each[0] != b"IDAT"), key=lambda each: each[0])
    lengths = {kind: end - start for kind, start, end in found}
    if len(lengths) < len(found):
        raise ValueError("damaged: two headers, palettes or chunks of transparent colours")
    clear = lengths.get(b"tRNS", 0)
    if (colour_type == _RGB and clear not in (0, 6)) or (
        colour_type == _PALETTE and clear > lengths.get(b"PLTE", 0) // 3
    ):
        raise ValueError(f"damaged: {clear} bytes of transparent colours do not fit its colours")
    return found


def _checked_parts(data: bytes, chunks: list[_Chunk]) -> Iterator[memoryview]:
    """Yield the contents of the IDAT chunks, and check their checksums."""
    whole = memoryview(data)
    for kind, start, end in chunks:
        if kind == b"IDAT":
            (checksum,) = struct.unpack_from(">I", data, end)
            if isal_zlib.crc32(whole[start - 4 : end]) != checksum:
                raise ValueError("damaged: the checksum of its pixels is wrong")
            yield whole[start:end]


def _size(data: bytes) -> _Size:
    if data[12:16] != b"IHDR":
        raise ValueError("a PNG that does not begin with its header")
    width, height, bits, colour_type, packing, filtering, interlacing = struct.unpack_from(
        ">IIBBBBB", data, 16
    )
    if bits not in _DEPTHS.get(colour_type, ()):
        raise ValueError(
            f"damaged: {bits} bits of colour type {colour_type}, which PNG does not have"
        )
    if packing or filtering or interlacing > 1:
        raise ValueError(
            f"damaged: compression {packing}, filter {filtering} and interlace method "
            f"{interlacing}, which PNG does not have"
        )
    return _Size(width, height, bits, colour_type, interlacing == 1)


def read_chunks(data: bytes) -> Iterator[_Chunk]:
    """Yield the type of each chunk, and the start and end of its content.

    The end mark is the last one.
    """
    position = 8
    for _ in range(MOST_PARTS):
        if position + 12 > len(data):
            raise ValueError("truncated: a PNG without its end mark")
        length, kind = struct.unpack_from(">I4s", data, position)
        yield kind, position + 8, position + 8 + length
        if kind == b"IEND":
            return
        position += 12 + length
    raise ValueError(f"a PNG of more than {MOST_PARTS} chunks")
