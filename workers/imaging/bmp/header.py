"""The BMP header, and the layout of the pixels and the palette.

Every version of the header is read: OS/2 1 (12 bytes) and 2 (16 and 64), Windows 3 (40), its
extensions by masks (52, 56), 4 (108) and 5 (124). Two things differ from many other readers:
the fourth byte of a 32-bit pixel is alpha only if the header has a mask for it, and a mask of
any width is scaled to 0..255, so that white stays white.

Sources: Microsoft, "Bitmap storage" and "BITMAPV5HEADER"; IBM, "OS/2 Presentation Manager
Programming Reference", BITMAPINFOHEADER2.
"""

import struct
from dataclasses import dataclass

from agewell.workers.imaging.image_header import Header

_FILE_HEADER_BYTES = 14
_CORE, _SHORT, _OS2, _V3 = 12, 16, 64, 40
_HEADER_SIZES = (_CORE, _SHORT, _V3, 52, 56, _OS2, 108, 124)
_DEPTHS = (1, 2, 4, 8, 16, 24, 32)

NONE, RLE8, RLE4, BIT_FIELDS, ALPHA_BIT_FIELDS = 0, 1, 2, 3, 6
_DEPTHS_OF = {
    NONE: _DEPTHS,
    RLE8: (8,),
    RLE4: (4,),
    BIT_FIELDS: (16, 32),
    ALPHA_BIT_FIELDS: (16, 32),
}
_REFUSED = {4: "JPEG", 5: "PNG", 11: "CMYK", 12: "CMYK, RLE8", 13: "CMYK, RLE4"}
_REFUSED_IN_OS2 = {BIT_FIELDS: "Huffman 1D", 4: "RLE24"}
_SAVE_AGAIN = "save it as BMP without compression, or as PNG"

Masks = tuple[int, int, int, int]
"""The bit masks of red, green, blue and alpha. An alpha mask of 0 means an opaque picture."""

MASKS_555: Masks = (0x7C00, 0x3E0, 0x1F, 0)
MASKS_888: Masks = (0xFF0000, 0xFF00, 0xFF, 0)
MASKS_8888: Masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of the pixels in a BMP file."""

    width: int  # px
    height: int  # px
    from_the_top: bool  # the first row of the file is the top row of the picture
    bits: int  # of a pixel
    compression: int
    pixels_at: int  # byte of the file
    palette_at: int  # byte of the file
    colours: int  # of the palette
    colour_bytes: int  # of one colour: BGR, or BGR and one byte unused
    masks: Masks  # for pixels of 16 and 32 bits

    @property
    def row_bytes(self) -> int:
        """Bytes of an uncompressed row, padded to a multiple of four."""
        return (self.width * self.bits + 31) // 32 * 4


@dataclass(frozen=True, slots=True)
class _Fields:
    """The fields of the header that are used, for every version of it."""

    size: int
    width: int
    height: int
    bits: int
    compression: int = NONE
    colours_used: int = 0


def read_header(data: bytes) -> Header:
    """Read the header of a BMP file.

    Raises:
        ValueError: the header is damaged.
        struct.error: the file ends within its header.
    """
    fields = _fields(data)
    refusal = _refusal(fields) or _masks_refusal(data, fields)
    return Header("bmp", fields.width, abs(fields.height), refusal=refusal)


def read_layout(data: bytes) -> Layout:
    """Read the layout of a file whose header has no refusal.

    Raises:
        ValueError: the header contradicts itself, or the pixels are truncated.
        struct.error: the file ends within its header.
    """
    fields = _fields(data)
    masks, mask_bytes = _masks(data, fields)
    palette_at = _FILE_HEADER_BYTES + fields.size + mask_bytes
    colour_bytes = 3 if fields.size == _CORE else 4
    pixels_at = _pixels_at(data, fields, palette_at, colour_bytes)
    layout = Layout(
        fields.width,
        abs(fields.height),
        fields.height < 0,
        fields.bits,
        fields.compression,
        pixels_at,
        palette_at,
        _colours(fields, pixels_at - palette_at, colour_bytes),
        colour_bytes,
        masks,
    )
    _check_length(data, layout)
    return layout


def _fields(data: bytes) -> _Fields:
    (size,) = struct.unpack_from("<I", data, _FILE_HEADER_BYTES)
    if size not in _HEADER_SIZES:
        known = ", ".join(map(str, sorted(_HEADER_SIZES)))
        raise ValueError(f"damaged: a BMP header of {size} bytes; known sizes are {known}")
    if size == _CORE:
        width, height, _planes, bits = struct.unpack_from("<HHHH", data, 18)
        return _Fields(size, width, height, bits)
    width, height, _planes, bits = struct.unpack_from("<iiHH", data, 18)
    if size == _SHORT:
        return _Fields(size, width, height, bits)
    compression, _size, _across, _down, used = struct.unpack_from("<IIiiI", data, 30)
    struct.unpack_from(f"{size}x", data, _FILE_HEADER_BYTES)  # raises if the header is cut off
    return _Fields(size, width, height, bits, compression, used)


def _refusal(fields: _Fields) -> str | None:
    """Return the reason to refuse these pixels, or None."""
    os2 = _REFUSED_IN_OS2.get(fields.compression) if fields.size == _OS2 else None
    if name := os2 or _REFUSED.get(fields.compression):
        return f"a BMP that holds {name}; {_SAVE_AGAIN}"
    if fields.compression not in _DEPTHS_OF:
        return f"BMP compression {fields.compression}, which is unknown; {_SAVE_AGAIN}"
    if fields.bits not in _DEPTHS_OF[fields.compression]:
        name = {NONE: "pixels", RLE8: "RLE8", RLE4: "RLE4"}.get(fields.compression, "bit fields")
        return f"BMP {name} of {fields.bits} bits; {_SAVE_AGAIN}"
    if fields.compression == ALPHA_BIT_FIELDS and fields.size == 52:
        return f"alpha bit fields in a BMP header of 52 bytes, which has no alpha; {_SAVE_AGAIN}"
    return None


def _masks(data: bytes, fields: _Fields) -> tuple[Masks, int]:
    """Return the masks, and the bytes that they take between the header and the palette."""
    if fields.compression not in (BIT_FIELDS, ALPHA_BIT_FIELDS):
        return MASKS_555 if fields.bits == 16 else MASKS_888, 0
    # Headers of 52 bytes and more contain the masks, after the first 40 bytes.
    red, green, blue = struct.unpack_from("<III", data, _FILE_HEADER_BYTES + _V3)
    has_alpha = fields.size >= 56 or fields.compression == ALPHA_BIT_FIELDS
    (alpha,) = struct.unpack_from("<I", data, _FILE_HEADER_BYTES + 52) if has_alpha else (0,)
    behind = (16 if has_alpha else 12) if fields.size == _V3 else 0
    return (red, green, blue, alpha), behind


def _masks_refusal(data: bytes, fields: _Fields) -> str | None:
    """Return the reason to refuse pixels with these masks, or None."""
    if fields.compression not in (BIT_FIELDS, ALPHA_BIT_FIELDS):
        return None
    masks, _ = _masks(data, fields)
    shown = ", ".join(f"{mask:#x}" for mask in masks)
    together = 0
    for mask in masks:
        lowest_bit = mask & -mask
        if mask & (mask + lowest_bit) or mask & together or mask >> fields.bits:
            return f"its bit fields {shown} overlap, have gaps or exceed its pixels; {_SAVE_AGAIN}"
        together |= mask
    return None if any(masks[:3]) else f"its bit fields {shown} have no colour; {_SAVE_AGAIN}"


def _pixels_at(data: bytes, fields: _Fields, palette_at: int, colour_bytes: int) -> int:
    """Return the position of the first pixel byte.

    If the file gives 0, or the position of the palette, the pixels begin after the palette.
    """
    (pixels_at,) = struct.unpack_from("<I", data, 10)
    if pixels_at == 0 or (pixels_at == palette_at and fields.bits <= 8):
        return palette_at + _colours_wanted(fields) * colour_bytes
    if pixels_at < palette_at:
        raise ValueError(f"damaged: its pixels begin at byte {pixels_at}, within its header")
    return int(pixels_at)


def _colours_wanted(fields: _Fields) -> int:
    """Return the number of colours in the palette, as the header says."""
    if fields.bits > 8:
        return fields.colours_used
    return fields.colours_used or 1 << fields.bits


def _colours(fields: _Fields, space: int, colour_bytes: int) -> int:
    """Return the number of palette colours that a pixel can name and that the file has space for.

    Raises:
        ValueError: there is no palette, or its colours seem to have another size.
    """
    if fields.bits > 8:
        return 0
    wanted = min(_colours_wanted(fields), 1 << fields.bits)
    if space < colour_bytes or (colour_bytes == 4 and space == 3 * wanted):
        raise ValueError(
            f"damaged: {space} bytes for a palette of {wanted} colours of {colour_bytes} bytes"
        )
    return min(wanted, space // colour_bytes)


def _check_length(data: bytes, layout: Layout) -> None:
    """Raise ValueError if uncompressed pixels are truncated.

    Truncated run lengths are detected when they are decoded.
    """
    here = max(0, len(data) - layout.pixels_at)
    if layout.compression in (RLE8, RLE4):
        expected = 1
    else:
        last_row = (layout.width * layout.bits + 7) // 8  # its padding may be missing
        expected = layout.row_bytes * (layout.height - 1) + last_row
    if here < expected:
        raise ValueError(f"truncated: {here:,} bytes of pixels, expected {expected:,} or more")
