"""Decode the strips and tiles of a TIFF page that are JPEG or WebP files.

Sources: TIFF Technical Note 2, 1995 (JPEG); ITU-T T.81, annex B; libtiff's tif_webp.c.
"""

import struct
from typing import cast

import cv2
import numpy as np

from agewell.workers.imaging import webp
from agewell.workers.imaging.image_header import Header
from agewell.workers.imaging.jpeg import header as jpeg
from agewell.workers.imaging.jpeg import pixels
from agewell.workers.imaging.tiff import layout as layouts
from agewell.workers.imaging.tiff.layout import Layout
from agewell.workers.imaging.tiff.samples import Samples

_TABLES = (0xDB, 0xC4)  # markers: quantisation, Huffman
_START, _SCAN = b"\xff\xd8", b"\xff\xda"


def jpeg_samples(data: bytes, tables: bytes, layout: Layout, rows: int) -> Samples:
    """Decode a block that is a JPEG file.

    Args:
        data: the block's bytes.
        tables: the tables that all blocks of the page share: a JPEG file without a picture.
        layout: the layout of its page.
        rows: the number of rows that it must hold.

    Returns:
        (rows, block width, samples of a block) uint8. YCbCr is converted to RGB.

    Raises:
        ValueError: the block is cut off, damaged or of another size.
        NotImplementedError: this kind of JPEG is not supported. The message names the kind.
    """
    whole = _whole_jpeg(data, tables, layout.photometric == layouts.YCBCR)
    if whole.count(_SCAN) * layout.width * layout.height > jpeg.MOST_SCANNED_PIXELS:
        raise NotImplementedError("its JPEG has too many scans; save it as baseline JPEG")
    _check(jpeg.read_header(whole), layout, rows)
    image = pixels.decode(whole)
    samples = _samples(_by_opencv(whole) if image is None else image, rows)
    if samples.shape[2] != layout.block_samples:
        raise ValueError(f"it has {samples.shape[2]} channels, not {layout.block_samples}")
    return samples


def webp_samples(data: bytes, layout: Layout, rows: int) -> Samples:
    """Decode a block that is a WebP file. Returns and raises the same as ``jpeg_samples``."""
    if not data.startswith(b"RIFF"):
        raise ValueError("it does not begin as a WebP")
    _check(webp.read_header(data), layout, rows)
    samples = _samples(_by_opencv(webp.pixels_only(data)), rows)
    if samples.shape[2] > layout.samples:
        raise ValueError("it has an alpha channel, which the page does not have")
    if samples.shape[2] < layout.samples:  # WebP does not store an alpha that is 255 everywhere
        return np.dstack([samples, np.full(samples.shape[:2], 255, np.uint8)])
    return samples


def _by_opencv(data: bytes) -> Samples:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError("its pixels cannot be decoded")
    return cast(Samples, image)


def _samples(image: Samples, rows: int) -> Samples:
    """Convert gray, BGR or BGRA to (rows, W, 1), (rows, W, 3) RGB or (rows, W, 4) RGBA."""
    image = image.reshape(*image.shape[:2], -1)
    order = [0] if image.shape[2] == 1 else [2, 1, 0, 3][: image.shape[2]]
    return image[:rows, :, order]


def _check(header: Header, layout: Layout, rows: int) -> None:
    """Refuse a picture that does not fit the block, before it is decoded."""
    if header.refusal:
        raise NotImplementedError(header.refusal)
    fits = header.width == layout.block_width and rows <= header.height <= layout.block_height
    if header.frames > 1 or not fits:
        found = f"{header.width} x {header.height} px"
        raise ValueError(f"its picture is {found}, not {layout.block_width} x {rows} px")


def _whole_jpeg(data: bytes, tables: bytes, is_ycc: bool) -> bytes:
    """Return a JPEG with the page's tables and a mark that says YCbCr or RGB.

    The block's own marks are removed: in a TIFF, the page's tags decide on the colours.
    """
    if not data.startswith(_START):
        raise ValueError("it does not begin as a JPEG")
    adobe = struct.pack(">2sH5sHHHB", b"\xff\xee", 14, b"Adobe", 100, 0, 0, is_ycc)
    shared = [part for marker, part in _parts(tables) if marker in _TABLES] if tables else []
    own = [part for marker, part in _parts(data) if marker not in jpeg.METADATA]
    return b"".join([_START, adobe, *shared, *own])


def _parts(data: bytes) -> list[tuple[int, bytes]]:
    """Return the marker and the bytes of each segment, with the pixels that follow it."""
    segments = list(jpeg.read_segments(data))
    ends = [each.begin for each in segments[1:]] + [len(data)]
    return [(each.marker, data[each.begin : end]) for each, end in zip(segments, ends, strict=True)]
