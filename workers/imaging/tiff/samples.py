"""Unpack the samples of a TIFF page's strip or tile.

A block must unpack to exactly its share of the pixels. A block that gives less is cut off or
damaged, and raises an error instead of black pixels. No unpacker makes more than that share.

Sources: TIFF 6.0, sections 9 to 14; TIFF Technical Note 2 (JPEG).
"""

import lzma
import sys
import zlib
from typing import Protocol

import numpy as np
import numpy.typing as npt

from agewell.workers.imaging.tiff import layout as layouts
from agewell.workers.imaging.tiff.layout import Layout

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Samples = npt.NDArray[np.uint8]

_LZMA_MEMORY_BYTES = 128 * 2**20  # xz's strongest preset needs 65 MiB
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_SPARE_BYTES = 16  # a compressor may write this many bytes after the last row
_TWO_DIMENSIONAL = 1  # the lowest bit of the options of Group 3


class _Unpacker(Protocol):
    """The common interface of the decompressors of zlib, lzma and zstd."""

    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def unpack(data: bytes, layout: Layout, rows: int) -> Samples:
    """Unpack a block that is not a JPEG or WebP file.

    Args:
        data: the block's bytes.
        layout: the layout of its page.
        rows: the number of rows that it must hold.

    Returns:
        (rows, block width, samples of a block) uint8, as stored: 0 to 2^bits - 1.

    Raises:
        ValueError: the block is cut off or damaged.
        NotImplementedError: its compression is not supported. The message names it.
    """
    if layout.bit_order == 2:
        data = data.translate(_REVERSED)
    if layout.compression in layouts.FAX:
        return _fax(data, layout, rows)
    needed = layout.row_bytes * rows
    unpacked = data if layout.compression == layouts.NONE else _bytes(data, layout, needed)
    if len(unpacked) < needed:
        raise ValueError(f"it holds {len(unpacked):,} of {needed:,} bytes")
    packed = np.frombuffer(unpacked, np.uint8, needed).reshape(rows, layout.row_bytes)
    samples = _values(packed, layout.bits[0])[:, : layout.block_width * layout.block_samples]
    pixels = samples.reshape(rows, layout.block_width, layout.block_samples)
    if layout.predictor == 2:
        return np.add.accumulate(pixels, axis=1, dtype=np.uint8)
    return pixels


def _fax(data: bytes, layout: Layout, rows: int) -> Samples:
    # Imported here, because it compiles for seconds and few pictures are faxes.
    from agewell.workers.imaging.tiff import fax

    two_dimensional = layout.fax_options & _TWO_DIMENSIONAL
    scheme = {
        layouts.GROUP_3: fax.GROUP_3_2D if two_dimensional else fax.GROUP_3,
        layouts.GROUP_4: fax.GROUP_4,
    }.get(layout.compression, fax.RLE)
    row_alignment = 16 if layout.compression == layouts.RLE_WORDS else 8
    return fax.decode(data, layout.block_width, rows, scheme, row_alignment)[..., None]


def _bytes(data: bytes, layout: Layout, needed: int) -> bytes:
    """Unpack the bytes of a block.

    Some programs fill the last strip up to the size of the others, so that size is accepted as
    well. LZW has no checksum, but most damage changes the number of bytes.
    """
    whole = layout.row_bytes * layout.block_height
    unpacked = _unpacked(data, layout, whole + _SPARE_BYTES)
    wrong = layout.compression == layouts.LZW and len(unpacked) not in (needed, whole)
    if len(unpacked) >= whole + _SPARE_BYTES or (wrong and len(unpacked) > needed):
        raise ValueError(f"it unpacks to more than its {needed:,} bytes")
    return unpacked


def _unpacked(data: bytes, layout: Layout, most: int) -> bytes:
    """Unpack a block up to `most` bytes."""
    if layout.compression == layouts.LZMA:
        return _stream(_lzma(), data, most)
    if layout.compression == layouts.ZSTD:
        return _stream(zstd.ZstdDecompressor(), data, most)
    if layout.compression != layouts.LZW and layout.compression != layouts.PACKBITS:
        return _stream(zlib.decompressobj(), data, most)
    from agewell.workers.imaging.tiff import lzw  # here, as it compiles

    if layout.compression == layouts.PACKBITS:
        return lzw.packbits(data, most)
    if data[:1] == b"\0" and data[1:2] > b"\0" and data[1] & 1:
        raise NotImplementedError("its compression is old-style LZW; save it with LZW as of 1992")
    return lzw.lzw(data, most)


def _stream(unpacker: _Unpacker, data: bytes, most: int) -> bytes:
    """Unpack a stream that ends with a checksum, up to `most` bytes."""
    try:
        unpacked = unpacker.decompress(data, most)
    except (zlib.error, lzma.LZMAError, zstd.ZstdError) as error:
        raise ValueError(f"its compressed data is damaged ({error})") from None
    if not unpacker.eof and len(unpacked) < most:
        raise ValueError("its compressed data ends early")
    return unpacked


def _lzma() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_LZMA_MEMORY_BYTES)


def _values(packed: Samples, bits: int) -> Samples:
    """Split rows of bytes into rows of samples, the highest bits first."""
    if bits == 8:
        return packed
    if bits == 1:
        return np.unpackbits(packed, axis=1)
    shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
    values = packed[..., None] >> shifts & np.uint8((1 << bits) - 1)
    return values.reshape(len(packed), -1)
