"""Decode the picture of a TIFF file.

OpenCV's TIFF reader is not used: it scrambles tiles that are turned, loses palettes of 1 and 2
bits, and returns black pixels for a damaged strip.
"""

import struct
from typing import cast

import cv2
import numpy as np

from agewell.workers.imaging.tiff import layout as layouts
from agewell.workers.imaging.tiff.blocks import Block, blocks
from agewell.workers.imaging.tiff.embedded import jpeg_samples, webp_samples
from agewell.workers.imaging.tiff.layout import Layout, read_layout
from agewell.workers.imaging.tiff.samples import Samples, unpack
from agewell.workers.imaging.tiff.tags import Directory, read_first_page

_JPEG_TABLES, _COLOUR_MAP = 347, 320


def decode(data: bytes) -> Samples:
    """Decode the first page of a TIFF file, as stored: the orientation is not applied.

    Args:
        data: the whole file; its header has no refusal and is within the limits.

    Returns:
        (H, W) gray, (H, W, 3) BGR or (H, W, 4) BGR with straight alpha; uint8.

    Raises:
        ValueError: a strip or tile is missing, cut off or damaged.
        NotImplementedError: this kind of TIFF is not supported. The message names the kind.
    """
    page = read_first_page(data).directory
    layout = read_layout(page)
    shape = (layout.height, layout.width, layout.samples)
    samples = np.empty(shape, np.uint8)
    tables = page.content(_JPEG_TABLES)
    for block in blocks(data, page, layout):
        found = _block_samples(block, layout, tables)
        part = samples[block.top : block.top + block.rows, block.left : block.left + found.shape[1]]
        columns = slice(block.plane, block.plane + layout.block_samples)
        part[..., columns] = found[: part.shape[0], : part.shape[1]]
    return _image(samples, page, layout)


def _block_samples(block: Block, layout: Layout, tables: bytes) -> Samples:
    try:
        if layout.compression == layouts.JPEG:
            return jpeg_samples(block.data, tables, layout, block.rows)
        if layout.compression == layouts.WEBP:
            return webp_samples(block.data, layout, block.rows)
        return unpack(block.data, layout, block.rows)
    except (struct.error, IndexError):
        raise ValueError(f"truncated or damaged: {block.name}: its header is cut") from None
    except (ValueError, cv2.error) as error:
        raise ValueError(f"truncated or damaged: {block.name}: {error}") from None


def _image(samples: Samples, page: Directory, layout: Layout) -> Samples:
    """Convert samples to an image: look up the palette, and scale the others to 0..255."""
    bits = layout.bits[0]
    if layout.photometric == layouts.PALETTE:
        colours = _palette(page, bits)[samples[..., 0]]
        alpha = [_spread(samples[..., 1:], bits)] if layout.samples == 2 else []
        return np.dstack([colours, *alpha])
    samples = _spread(samples, bits)
    if layout.photometric == layouts.WHITE_IS_ZERO:
        samples[..., 0] = ~samples[..., 0]
    if layout.samples == 1:
        return samples[..., 0]
    if layout.samples == 2:
        return samples[..., [0, 0, 0, 1]]
    swapped = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}[layout.samples]
    return cast(Samples, cv2.cvtColor(samples, swapped, samples))


def _spread(samples: Samples, bits: int) -> Samples:
    """Scale samples of 1, 2 or 4 bits to 0..255 without rounding: 255 divides evenly."""
    return samples if bits == 8 else samples * np.uint8(255 // ((1 << bits) - 1))


def _palette(page: Directory, bits: int) -> Samples:
    """Return the palette, (2^bits, 3) uint8 BGR.

    The colours have 16 bits. If none is above 255, a program has written 8-bit colours by mistake,
    and they are read as such, as in libtiff.
    """
    size = 1 << bits
    values = page.array(_COLOUR_MAP, 3 * size)
    if len(values) < 3 * size:
        raise ValueError(f"damaged: a palette of {len(values)} values, not {3 * size}")
    eight_bits = values if values.max() < 256 else values >> np.uint64(8)
    return np.ascontiguousarray(eight_bits.reshape(3, size)[::-1].T.astype(np.uint8))
