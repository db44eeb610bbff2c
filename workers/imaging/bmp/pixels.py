"""Decode the pixels of a BMP, because OpenCV reads several kinds of BMP wrongly.

OpenCV loses the colours of OS/2 files, ignores bit fields, takes an unused byte for alpha, and
shifts 5 bits to 8, which turns white into gray.
"""

from typing import cast

import numpy as np
import numpy.typing as npt

from agewell.workers.imaging.bmp import header, rle
from agewell.workers.imaging.bmp.header import Layout
from agewell.workers.imaging.image import Image


def decode(data: bytes) -> Image:
    """Decode the pixels of a BMP whose header has no refusal.

    Returns:
        (H, W) if every colour of the palette is gray, (H, W, 4) BGR and alpha if there is a
        mask for alpha, else (H, W, 3) BGR; uint8.

    Raises:
        ValueError: the pixels are truncated or damaged.
    """
    layout = header.read_layout(data)
    if layout.bits <= 8:
        image = _coloured(_indices(data, layout), _palette(data, layout))
    elif layout.masks in (header.MASKS_888, header.MASKS_8888):
        image = _bytes_of(data, layout)[:, : layout.width * layout.bits // 8]
        image = image.reshape(layout.height, layout.width, -1)
        image = image[..., : 3 if layout.masks == header.MASKS_888 else 4]
    else:
        image = _masked(data, layout)
    return np.ascontiguousarray(image if layout.from_the_top else image[::-1])


def _bytes_of(data: bytes, layout: Layout) -> Image:
    """Return the rows as (H, bytes of a row). Missing padding of the last row is filled in."""
    wanted = layout.row_bytes * layout.height
    found = np.frombuffer(
        data, np.uint8, min(wanted, len(data) - layout.pixels_at), layout.pixels_at
    )
    if len(found) < wanted:
        found = np.concatenate([found, np.zeros(wanted - len(found), np.uint8)])
    return found.reshape(layout.height, layout.row_bytes)


def _indices(data: bytes, layout: Layout) -> Image:
    """Return the palette index of each pixel, (H, W)."""
    if layout.compression != header.NONE:
        packed = memoryview(data)[layout.pixels_at :]
        return rle.unpack(packed, layout.width, layout.height, layout.bits)
    packed_rows = _bytes_of(data, layout)
    if layout.bits == 8:
        return packed_rows[:, : layout.width]
    shifts = np.arange(8 - layout.bits, -1, -layout.bits, dtype=np.uint8)
    numbers = packed_rows[..., None] >> shifts & np.uint8((1 << layout.bits) - 1)
    return cast(Image, numbers.reshape(layout.height, -1)[:, : layout.width])


def _palette(data: bytes, layout: Layout) -> Image:
    """Return the palette, (colours, 3) BGR."""
    count = layout.colours * layout.colour_bytes
    found = np.frombuffer(data, np.uint8, count, layout.palette_at)
    return found.reshape(layout.colours, layout.colour_bytes)[:, :3]


def _coloured(indices: Image, palette: Image) -> Image:
    highest = int(indices.max())
    if highest >= len(palette):
        raise ValueError(
            f"damaged: a pixel has colour {highest}, but the palette has {len(palette)} colours"
        )
    gray = (palette == palette[:, :1]).all()
    return palette[:, 0][indices] if gray else palette[indices]


def _masked(data: bytes, layout: Layout) -> Image:
    """Return pixels that have bit masks: (H, W, 3) BGR or (H, W, 4) BGR and alpha."""
    packed = _bytes_of(data, layout)[:, : layout.width * layout.bits // 8]
    pixels = np.ascontiguousarray(packed).view(f"<u{layout.bits // 8}")
    red, green, blue, alpha = layout.masks
    masks = (blue, green, red, alpha) if alpha else (blue, green, red)
    image = np.empty((*pixels.shape, len(masks)), np.uint8)
    for channel, mask in enumerate(masks):
        image[..., channel] = _scaled(pixels, mask)
    return image


def _scaled(pixels: npt.NDArray[np.unsignedinteger], mask: int) -> Image:
    """Extract the n bits of a mask and scale them from 0..2^n - 1 to 0..255, rounded."""
    if mask == 0:
        return np.zeros(pixels.shape, np.uint8)
    lowest_bit = mask & -mask
    shift, most = lowest_bit.bit_length() - 1, mask // lowest_bit
    values = (pixels & mask) >> shift
    if most == 255:
        return values.astype(np.uint8)
    if most < 2**16:
        table = _round(np.arange(most + 1, dtype=np.uint64), most)
        return cast(Image, table[values])
    return _round(values.astype(np.uint64), most)


def _round(values: npt.NDArray[np.uint64], most: int) -> Image:
    return ((values * 255 + most // 2) // most).astype(np.uint8)
