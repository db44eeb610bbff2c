"""Encode PNG: OpenCV and numpy filter the rows in blocks, and ISA-L or zlib compresses them.

OpenCV's own encoder takes three times as long for a file of the same size: its compressor is
slower, and it applies one filter to all images. Here a filter is chosen for each megabyte of rows.
For this, a few rows are compressed with every filter. The usual guess by the sum of differences
is worse, because it does not see repeated bytes.

Source: W3C, "Portable Network Graphics, third edition".
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from isal import isal_zlib

from agewell.shared.protocol.formats import Effort
from agewell.workers.imaging.image import Image
from agewell.workers.imaging.png.filters import AVERAGE, FILTERS, NONE, PAETH, SUB, UP, Bytes, Rows

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPE = {1: 0, 3: 2, 4: 6}  # by channels: gray, RGB, RGB with alpha
_SWAPPED = {3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGBA}
_BLOCK_BYTES = 2**17  # filtered at a time, so that the buffers fit into the cache of a core
_BLOCKS_A_CHOICE = 8


class _Compressor(NamedTuple):
    """A compressor, and the filters that may precede it."""

    start: Callable[[], Any]
    sample_rows: int
    weights: dict[int, float]  # by filter: a slow filter must save enough to be chosen


_COMPRESSORS: Final[dict[Effort, _Compressor]] = {
    "fast": _Compressor(lambda: isal_zlib.compressobj(1), 4, {NONE: 1, SUB: 1, UP: 1, PAETH: 1.05}),
    "small": _Compressor(
        lambda: zlib.compressobj(6, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_FILTERED),
        8,
        dict.fromkeys((NONE, SUB, UP, AVERAGE, PAETH), 1),
    ),
}


def encode(image: Image, effort: Effort) -> bytes:
    """Encode an image as PNG, with 8 bits a channel.

    Args:
        image: (H, W) gray, (H, W, 3) BGR or (H, W, 4) BGR with straight alpha; uint8.
        effort: "fast", or "small" for a smaller file in twenty times the time.

    Returns:
        The bytes of the file.
    """
    height, width = image.shape[:2]
    pixels = image.reshape(height, width, -1)
    kind = _COLOUR_TYPE[pixels.shape[2]]
    file = [_SIGNATURE, *chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))]
    for packed in _packed(pixels, _COMPRESSORS[effort]):
        file += chunk(b"IDAT", packed)
    file += chunk(b"IEND", b"")
    return b"".join(file)


def chunk(kind: bytes, content: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the parts of a chunk: its head, its content, and its checksum."""
    checksum = isal_zlib.crc32(content, isal_zlib.crc32(kind))
    return struct.pack(">I4s", len(content), kind), content, struct.pack(">I", checksum)


def _packed(pixels: Image, compressor: _Compressor) -> Iterator[bytes]:
    """Yield the compressed rows in pieces."""
    stream = compressor.start()
    number = NONE
    for index, rows in enumerate(_blocks(pixels)):
        if index % _BLOCKS_A_CHOICE == 0:
            number = _best_filter(rows, compressor)
        packed = stream.compress(_filtered(rows, number))
        if packed:
            yield packed
    yield stream.flush()


def _blocks(pixels: Image) -> Iterator[Rows]:
    """Yield blocks of rows, in RGB. All use one buffer, so each is valid until the next one."""
    height, width, channels = pixels.shape
    most = min(height, max(1, _BLOCK_BYTES // (width * channels)))
    buffer = np.zeros((most + 1, width + 1, channels), np.uint8)  # with zeros above and at the left
    flat = buffer.reshape(most + 1, -1)
    for top in range(0, height, most):
        block = np.ascontiguousarray(pixels[top : top + most])
        count = len(block)
        if channels in _SWAPPED:
            cv2.cvtColor(block, _SWAPPED[channels], buffer[1 : count + 1, 1:])
        else:
            buffer[1 : count + 1, 1:] = block
        above, here, left = flat[:count], flat[1 : count + 1], slice(0, -channels)
        yield Rows(here[:, channels:], here[:, left], above[:, channels:], above[:, left])
        flat[0] = flat[count]


def _best_filter(rows: Rows, compressor: _Compressor) -> int:
    """Return the number of the filter that makes some rows in the middle smallest."""
    count = min(len(rows.here), compressor.sample_rows)
    sample = rows.part((len(rows.here) - count) // 2, count)

    def size(number: int) -> float:
        stream = compressor.start()
        packed = len(stream.compress(_filtered(sample, number))) + len(stream.flush())
        return packed * compressor.weights[number]

    return min(compressor.weights, key=size)


def _filtered(rows: Rows, number: int) -> Bytes:
    """Return filtered rows, each with the filter's number before it."""
    count, size = rows.here.shape
    filtered = np.empty((count, 1 + size), np.uint8)
    filtered[:, 0] = number
    FILTERS[number](rows, filtered[:, 1:])
    return filtered
