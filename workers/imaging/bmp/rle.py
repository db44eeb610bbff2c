"""Unpack the run-length encoded rows of a BMP: RLE8 and RLE4.

Pixels that the file skips get the palette's first colour, as in Pillow and ImageMagick.

Source: Microsoft, "Bitmap compression".
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

_MOST_STEPS = 4_000_000  # 2 to 4 s; a screenshot of a 4K display takes a tenth of that
_END_OF_ROW, _END, _JUMP = 0, 1, 2
_NIBBLES = [bytes([byte >> 4, byte & 15]) for byte in range(256)]


def unpack(packed: memoryview, width: int, height: int, bits: int) -> npt.NDArray[np.uint8]:
    """Unpack run lengths into palette indices.

    Args:
        packed: the file from the first byte of the pixels on.
        width: px, of the picture.
        height: px, of the picture.
        bits: of a pixel: 8 or 4.

    Returns:
        (H, W) uint8, in the order of the file's rows.

    Raises:
        ValueError: the pixels end early, a run or jump leaves the picture, or there are too many
            runs.
    """
    rows = _Rows(width, height)
    _follow(bytes(packed), rows, _expand_4 if bits == 4 else _expand_8, bits)
    return np.frombuffer(rows.numbers, np.uint8).reshape(height, width)


class _Rows:
    """The picture so far, and the position of the next pixel."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.numbers = bytearray(width * height)
        self.x = self.y = 0

    @property
    def full(self) -> bool:
        return self.y >= self.height or (self.y == self.height - 1 and self.x == self.width)

    def write(self, numbers: bytes) -> None:
        if self.x + len(numbers) > self.width or self.y >= self.height:
            raise ValueError(f"damaged: a run of pixels leaves row {self.y} of the picture")
        start = self.y * self.width + self.x
        self.numbers[start : start + len(numbers)] = numbers
        self.x += len(numbers)

    def next_row(self) -> None:
        self.x, self.y = 0, self.y + 1

    def jump(self, right: int, up: int) -> None:
        self.x, self.y = self.x + right, self.y + up
        if self.x > self.width or self.y > self.height:
            raise ValueError("damaged: a jump leaves the picture")


def _follow(packed: bytes, rows: _Rows, expand: Callable[[bytes], bytes], bits: int) -> None:
    """Write every run up to the end mark. A missing end mark is accepted after the last pixel."""
    at = 0
    for _ in range(_MOST_STEPS):
        if at + 2 > len(packed):
            if rows.full:
                return
            raise ValueError(f"truncated: its pixels end in row {rows.y} of {rows.height}")
        count, value = packed[at], packed[at + 1]
        at += 2
        if count:
            rows.write(_run(expand(packed[at - 1 : at]), count))
        elif value == _END_OF_ROW:
            rows.next_row()
        elif value == _END:
            return
        elif value == _JUMP:
            rows.jump(*packed[at : at + 2].ljust(2, b"\0"))
            at += 2
        else:
            length = (value * bits + 7) // 8
            rows.write(expand(packed[at : at + length])[:value])
            at += length + length % 2
    raise ValueError(f"more than {_MOST_STEPS:,} runs of pixels; save it as PNG")


def _run(pattern: bytes, count: int) -> bytes:
    return (pattern * count)[:count]


def _expand_8(packed: bytes) -> bytes:
    return packed


def _expand_4(packed: bytes) -> bytes:
    return b"".join([_NIBBLES[byte] for byte in packed])
