"""BMP files written field by field, of any header, depth, compression and mask.

It computes with Python's numbers, one pixel at a time, and shares nothing with the decoder.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

NONE, RLE8, RLE4, BIT_FIELDS, ALPHA_BIT_FIELDS = 0, 1, 2, 3, 6

Colour = tuple[int, int, int]
Rows = Sequence[Sequence[int]]  # of numbers, from the top


@dataclass(frozen=True)
class Bmp:
    """The fields of a file. Pixels are numbers: of a colour, or the bits of all channels."""

    rows: Rows
    bits: int
    header: int = 40
    compression: int = NONE
    palette: Sequence[Colour] = ()  # RGB
    masks: Sequence[int] = ()  # red, green, blue and perhaps alpha
    from_the_top: bool = False
    colours_used: int | None = None  # None: as many as the palette has; 0 means all of them
    gap: int = 0  # bytes between palette and pixels
    pixels_at: int | None = None  # None: where they are
    colour_bytes: int | None = None  # None: 3 with the header of 12 bytes, else 4
    pixels: bytes | None = field(default=None, repr=False)  # None: packed from the rows
    junk: int = 0xA5  # in every byte that has no meaning

    @property
    def data(self) -> bytes:
        behind = b"" if self.header > 40 else self._mask_bytes()
        lead = self._header() + behind + self._palette_bytes() + bytes([self.junk]) * self.gap
        pixels = self._packed() if self.pixels is None else self.pixels
        at = 14 + len(lead) if self.pixels_at is None else self.pixels_at
        return b"BM" + struct.pack("<IHHI", 14 + len(lead) + len(pixels), 0, 0, at) + lead + pixels

    def _header(self) -> bytes:
        width, height = len(self.rows[0]), len(self.rows)
        high = -height if self.from_the_top else height
        if self.header == 12:
            return struct.pack("<IHHHH", 12, width, height, 1, self.bits)
        used = len(self.palette) if self.colours_used is None else self.colours_used
        first = struct.pack("<IiiHH", self.header, width, high, 1, self.bits)
        if self.header == 16:
            return first
        first += struct.pack("<IIiiII", self.compression, 0, 2835, 2835, used, 0)
        if self.header == 64:
            return first + bytes(24)
        inside = self._mask_bytes() if self.header > 40 else b""
        return (first + inside).ljust(self.header, b"\0")

    def _mask_bytes(self) -> bytes:
        return struct.pack(f"<{len(self.masks)}I", *self.masks)

    def _palette_bytes(self) -> bytes:
        size = self.colour_bytes or (3 if self.header == 12 else 4)
        spare = bytes([self.junk] * (size - 3))
        return b"".join(bytes([blue, green, red]) + spare for red, green, blue in self.palette)

    def _packed(self) -> bytes:
        rows = self.rows if self.from_the_top else self.rows[::-1]
        return b"".join(self._row(row) for row in rows)

    def _row(self, row: Sequence[int]) -> bytes:
        if self.bits >= 8:
            packed = b"".join(number.to_bytes(self.bits // 8, "little") for number in row)
        else:
            digits = "".join(f"{number:0{self.bits}b}" for number in row)
            digits = digits.ljust(-(-len(digits) // 8) * 8, "1")
            packed = bytes(int(digits[i : i + 8], 2) for i in range(0, len(digits), 8))
        return packed + bytes([self.junk]) * (-len(packed) % 4)


def rle8_runs(row: Sequence[int]) -> bytes:
    """A row as runs of one colour."""
    return b"".join(bytes([length, number]) for number, length in _runs(row))


def rle4_runs(row: Sequence[int]) -> bytes:
    """A row as runs of two alternating colours: pairs of pixels, and the last one alone."""
    pairs = [row[i : i + 2] for i in range(0, len(row), 2)]
    return b"".join(bytes([len(pair), pair[0] << 4 | pair[-1]]) for pair in pairs)


def rle8_literal(row: Sequence[int]) -> bytes:
    """A row as it is, at least three pixels, padded to an even length."""
    return bytes([0, len(row), *row]) + b"\0" * (len(row) % 2)


def rle4_literal(row: Sequence[int]) -> bytes:
    digits = "".join(f"{number:x}" for number in row)
    packed = bytes.fromhex(digits + "0" * (len(digits) % 2))
    return bytes([0, len(row)]) + packed + b"\0" * (len(packed) % 2)


def _runs(row: Sequence[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for number in row:
        if found and found[-1][0] == number and found[-1][1] < 255:
            found[-1] = (number, found[-1][1] + 1)
        else:
            found.append((number, 1))
    return found
