"""A TIFF writer for tests, after the specification: every layout that the readers may meet."""

import lzma
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import imagecodecs
import numpy as np

NONE, LZW, DEFLATE, OLD_DEFLATE, PACKBITS, LZMA, ZSTD = 1, 5, 8, 32946, 32773, 34925, 50000
PACK: Mapping[int, Callable[[bytes], bytes]] = {
    NONE: bytes,
    LZW: imagecodecs.lzw_encode,
    DEFLATE: zlib.compress,
    OLD_DEFLATE: zlib.compress,
    PACKBITS: imagecodecs.packbits_encode,
    LZMA: lzma.compress,
    ZSTD: imagecodecs.zstd_encode,
}
SHORT, LONG, LONG8 = 3, 4, 16
_LETTERS = {1: "B", 2: "B", SHORT: "H", LONG: "I", 5: "Q", 7: "B", 8: "h", 9: "i", LONG8: "Q"}
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))

Tag = tuple[int, tuple[int, ...]]  # type, values


@dataclass(frozen=True)
class Tiff:
    """One page. Samples are (H, W, channels), each from 0 to 2^bits - 1."""

    samples: np.ndarray
    photometric: int
    bits: int = 8
    compression: int = NONE
    tile: tuple[int, int] | None = None  # width, height
    rows: int | None = None  # of a strip; None: all
    planar: bool = False
    predictor: bool = False
    reversed_bits: bool = False
    order: str = "<"
    big: bool = False
    orientation: int | None = None
    extra: tuple[int, ...] = ()
    palette: np.ndarray | None = None  # (2^bits, 3), 16 bits
    more: Mapping[int, Tag | None] = field(default_factory=dict)  # None: leave the tag out
    pack: Callable[[bytes], bytes] | None = None  # instead of the compression's own

    def file(self) -> bytes:
        blocks = [self._packed(block) for block in self._blocks()]
        start = 16 if self.big else 8
        offsets = [start + sum(map(len, blocks[:number])) for number in range(len(blocks))]
        tags = self._tags(offsets, [len(block) for block in blocks])
        return self._write(b"".join(blocks), tags)

    def _blocks(self) -> list[np.ndarray]:
        """(rows, columns, channels) of each strip or tile. Tiles are padded with 1."""
        height, width, channels = self.samples.shape
        across, down = self.tile or (width, self.rows or height)
        planes = np.split(self.samples, channels, 2) if self.planar else [self.samples]
        found = []
        for plane in planes:
            for top in range(0, height, down):
                for left in range(0, width, across):
                    block = plane[top : top + down, left : left + across]
                    if self.tile:
                        missing = ((0, down - len(block)), (0, across - block.shape[1]), (0, 0))
                        block = np.pad(block, missing, constant_values=1)
                    found.append(block)
        return found

    def _packed(self, block: np.ndarray) -> bytes:
        if self.predictor:
            block = np.diff(block, axis=1, prepend=np.zeros_like(block[:, :1]))
        digits = np.unpackbits(block[..., None].astype(np.uint8), axis=3)[..., 8 - self.bits :]
        raw = np.packbits(digits.reshape(len(block), -1), axis=1).tobytes()
        packed = bytes((self.pack or PACK[self.compression])(raw))
        return packed.translate(_REVERSED) if self.reversed_bits else packed

    def _tags(self, offsets: list[int], sizes: list[int]) -> dict[int, Tag]:
        height, width, channels = self.samples.shape
        places = LONG8 if self.big else LONG
        tags: dict[int, Tag | None] = {
            256: (LONG, (width,)),
            257: (LONG, (height,)),
            258: (SHORT, (self.bits,) * channels),
            259: (SHORT, (self.compression,)),
            262: (SHORT, (self.photometric,)),
            266: (SHORT, (2,)) if self.reversed_bits else None,
            274: (SHORT, (self.orientation,)) if self.orientation else None,
            277: (SHORT, (channels,)),
            284: (SHORT, (2 if self.planar else 1,)),
            317: (SHORT, (2,)) if self.predictor else None,
            338: (SHORT, self.extra) if self.extra else None,
        }
        if self.tile:
            tags |= {322: (LONG, self.tile[:1]), 323: (LONG, self.tile[1:])}
            tags |= {324: (places, tuple(offsets)), 325: (places, tuple(sizes))}
        else:
            tags |= {273: (places, tuple(offsets)), 279: (places, tuple(sizes))}
            tags[278] = (LONG, (self.rows or height,))
        if self.palette is not None:
            tags[320] = (SHORT, tuple(self.palette.T.ravel().tolist()))
        return {tag: value for tag, value in sorted((tags | self.more).items()) if value}

    def _write(self, content: bytes, tags: dict[int, Tag]) -> bytes:
        """Header, content, directory, and the values that do not fit into it."""
        order, room = self.order, 8 if self.big else 4
        offset, count = ("Q", "Q") if self.big else ("I", "H")
        first = (16 if self.big else 8) + len(content)
        first += first % 2
        after = first + struct.calcsize(order + count) + (4 + 2 * room) * len(tags) + room
        entries, values = b"", b""
        for tag, (kind, numbers) in tags.items():
            value = struct.pack(f"{order}{len(numbers)}{_LETTERS[kind]}", *numbers)
            if len(value) > room:
                place = struct.pack(order + offset, after + len(values))
                values += value
            else:
                place = value.ljust(room, b"\0")
            entries += struct.pack(f"{order}HH{offset}", tag, kind, len(numbers)) + place
        mark = b"II" if order == "<" else b"MM"
        version = struct.pack(order + "HHH", 43, 8, 0) if self.big else struct.pack(order + "H", 42)
        header = mark + version + struct.pack(order + offset, first)
        directory = struct.pack(order + count, len(tags)) + entries + bytes(room)
        return (header + content).ljust(first, b"\0") + directory + values
