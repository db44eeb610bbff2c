"""PNG files written chunk by chunk: any colour type, depth, filter and interlacing."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tests.support.image_files import png_chunk

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
         (0, 1, 1, 2))  # fmt: skip
Chunk = tuple[bytes, bytes]


@dataclass(frozen=True)
class Png:
    """The samples of a picture, (H, W, channels), and how they are stored."""

    samples: np.ndarray
    colour_type: int
    bits: int = 8
    interlaced: bool = False
    filters: Sequence[int] = (0, 1, 2, 3, 4)  # of the rows, in turn
    before: Sequence[Chunk] = ()  # chunks between IHDR and IDAT
    behind: Sequence[Chunk] = ()  # chunks between IDAT and IEND
    level: int = 6  # of compression
    window_bits: int = 15
    split: int = 2**30  # bytes of an IDAT
    extra: bytes = b""  # packed behind the last row

    @property
    def data(self) -> bytes:
        height, width, _ = self.samples.shape
        header = struct.pack(
            ">IIBBBBB", width, height, self.bits, self.colour_type, 0, 0, self.interlaced
        )
        packed = self._packed()
        parts = [packed[i : i + self.split] for i in range(0, len(packed), self.split)]
        idat = [(b"IDAT", part) for part in parts]
        chunks = [(b"IHDR", header), *self.before, *idat, *self.behind, (b"IEND", b"")]
        return SIGNATURE + b"".join(png_chunk(*each) for each in chunks)

    def _packed(self) -> bytes:
        passes = ADAM7 if self.interlaced else ((0, 0, 1, 1),)
        rows = b"".join(
            self._filtered(self.samples[top::down, left::across])
            for left, top, across, down in passes
            if self.samples[top::down, left::across].size
        )
        stream = zlib.compressobj(self.level, zlib.DEFLATED, self.window_bits)
        return stream.compress(rows + self.extra) + stream.flush()

    def _filtered(self, samples: np.ndarray) -> bytes:
        step = max(1, self.bits * CHANNELS[self.colour_type] // 8)
        above, rows = b"", []
        for number, row in enumerate(samples):
            plain = self._row(row.reshape(-1).tolist())
            kind = self.filters[number % len(self.filters)]
            rows.append(bytes([kind]) + _filter(kind, plain, above or bytes(len(plain)), step))
            above = plain
        return b"".join(rows)

    def _row(self, samples: list[int]) -> bytes:
        if self.bits >= 8:
            return b"".join(each.to_bytes(self.bits // 8, "big") for each in samples)
        digits = "".join(f"{each:0{self.bits}b}" for each in samples)
        digits = digits.ljust(-(-len(digits) // 8) * 8, "0")
        return bytes(int(digits[i : i + 8], 2) for i in range(0, len(digits), 8))


def _filter(kind: int, row: bytes, above: bytes, step: int) -> bytes:
    found = []
    for i, value in enumerate(row):
        left = row[i - step] if i >= step else 0
        corner = above[i - step] if i >= step else 0
        guess = (0, left, above[i], (left + above[i]) // 2, _paeth(left, above[i], corner))[kind]
        found.append((value - guess) % 256)
    return bytes(found)


def _paeth(left: int, above: int, corner: int) -> int:
    estimate = left + above - corner
    return min((left, above, corner), key=lambda each: abs(estimate - each))


def samples(colour_type: int, bits: int, width: int = 19, height: int = 13) -> np.ndarray:
    """A picture of random numbers."""
    random = np.random.default_rng(colour_type * 100 + bits)
    return random.integers(0, 1 << bits, (height, width, CHANNELS[colour_type]))


def palette(count: int) -> Chunk:
    return b"PLTE", bytes(
        value for i in range(count) for value in (i * 7 % 256, 255 - i, i * 29 % 256)
    )
