"""What an encoded image says of itself, read without decoding a pixel.

Only the bytes that stand in front of the pixels and between them are looked at, so that a
hostile file is refused before anything is allocated for it. An image library would do here
too, but decides by itself what is too big, warns process-wide, reads 16-bit colours as 8-bit
ones, and allocates a WebP's canvas to count its frames.

Sources: ITU-T T.81 annex B (JPEG); W3C "Portable Network Graphics, third edition" (PNG);
RFC 9649 (WebP); Microsoft "Bitmap storage" (BMP).
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from shared.errors import UndecodableError, UnknownFormatError
from workers import tiff

ImageFormat = Literal["png", "jpeg", "webp", "tiff", "bmp"]

_MOST_PARTS = 100_000  # segments or chunks of one file; a 64 MiB PNG in 8 KiB chunks has 8,192
_SAVE_8_BITS = "save it with 8 bits a channel"


@dataclass(frozen=True, slots=True)
class Header:
    """What an image says of itself before it is decoded."""

    image_format: ImageFormat
    width: int  # px, as stored: before the orientation is applied
    height: int  # px, as stored
    frames: int = 1  # pictures of an animation, or pages
    orientation: int = 1  # EXIF's 1..8; 1 is upright
    refusal: str | None = None  # why such pixels are not taken; None where they are


def read_header(data: bytes, name: str) -> Header:
    """Recognise one of the five formats by its first bytes, and read its header.

    Args:
        data: the whole file.
        name: the caller's name for it, for the errors.

    Raises:
        UnknownFormatError: the bytes are none of JPEG, PNG, WebP, TIFF, BMP.
        UndecodableError: the header is damaged, or the file ends before its end mark.
    """
    reader = next((read for matches, read in _READERS if matches(data)), None)
    if reader is None:
        raise UnknownFormatError(name, _what_instead(data))
    try:
        header = reader(data)
    except (struct.error, IndexError):
        raise UndecodableError(name, "truncated: the file ends within its header") from None
    except ValueError as error:
        raise UndecodableError(name, str(error)) from None
    if header.width < 1 or header.height < 1:
        raise UndecodableError(name, f"its header says {header.width} x {header.height} px")
    return header


def _what_instead(data: bytes) -> str:
    if not data:
        return "empty (0 bytes)"
    return f"no JPEG, PNG, WebP, TIFF or BMP: its first bytes are {data[:12]!r}"


def _jpeg(data: bytes) -> Header:
    width = height = 0
    orientation, refusal = None, None
    for marker, start, end in _jpeg_segments(data):
        if marker == 0xE1 and orientation is None and data.startswith(b"Exif\0\0", start):
            orientation = tiff.exif_orientation(data[start + 6 : end])
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            bits, height, width, channels = struct.unpack_from(">BHHB", data, start)
            refusal = _jpeg_refusal(bits, channels)
        elif marker == 0xDA and data.rfind(b"\xff\xd9") < end:
            # A decoder may fill with gray what is missing, and say nothing.
            raise ValueError("truncated: a JPEG without its end mark")
    return Header("jpeg", width, height, 1, orientation or 1, refusal)


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of the content of each segment, up to the first scan's."""
    position = 2
    for _ in range(_MOST_PARTS):
        position = data.find(b"\xff", position) + 1
        if position == 0:
            raise ValueError("truncated: a JPEG that ends before its first scan")
        marker = data[position]
        if marker in (0x00, 0xFF, 0x01) or 0xD0 <= marker <= 0xD8:
            continue  # fill bytes, and markers that have no content
        if marker == 0xD9:
            raise ValueError("a JPEG that has no picture")
        (length,) = struct.unpack_from(">H", data, position + 1)
        yield marker, position + 3, position + 1 + length
        if marker == 0xDA:
            return
        position += 1 + length
    raise ValueError(f"a JPEG of more than {_MOST_PARTS} segments")


def _jpeg_refusal(bits: int, channels: int) -> str | None:
    if bits != 8:
        return f"{bits} bits a channel; {_SAVE_8_BITS}"
    if channels not in (1, 3):
        return f"{channels} channels, as CMYK has; save it as RGB or gray"
    return None


def _png(data: bytes) -> Header:
    width, height, bits, colour_type = struct.unpack_from(">IIBB", data, 16)
    frames, orientation = 1, 1
    refusal = f"{bits} bits a channel; {_SAVE_8_BITS}" if bits == 16 else None
    for kind, start, end in _png_chunks(data):
        if kind == b"acTL":
            (frames,) = struct.unpack_from(">I", data, start)
        elif kind == b"eXIf":
            orientation = tiff.exif_orientation(data[start:end])
        elif kind == b"tRNS" and colour_type == 0:
            refusal = refusal or "gray with one transparent value; save it as gray with alpha"
    return Header("png", width, height, frames, orientation, refusal)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end of the content of each chunk, up to the end mark."""
    if data[12:16] != b"IHDR":
        raise ValueError("a PNG that does not begin with its header")
    position = 8
    for _ in range(_MOST_PARTS):
        if position + 12 > len(data):
            raise ValueError("truncated: a PNG without its end mark")
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind == b"IEND":
            return
        yield kind, position + 8, position + 8 + length
        position += 12 + length
    raise ValueError(f"a PNG of more than {_MOST_PARTS} chunks")


def _webp(data: bytes) -> Header:
    (size,) = struct.unpack_from("<I", data, 4)
    if size + 8 > len(data):
        raise ValueError(f"truncated: a WebP of {size + 8} bytes, of which {len(data)} are here")
    width = height = frames = 0
    orientation = 1
    for kind, start, end in _webp_chunks(data, size + 8):
        if kind in _WEBP_SIZES and not width:
            width, height = _WEBP_SIZES[kind](data, start)
        if kind == b"ANMF":
            frames += 1
        elif kind == b"EXIF":
            orientation = tiff.exif_orientation(data[start:end].removeprefix(b"Exif\0\0"))
    return Header("webp", width, height, frames or 1, orientation)


def _webp_chunks(data: bytes, size: int) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end of the content of each chunk."""
    position = 12
    for _ in range(_MOST_PARTS):
        if position + 8 > size:
            return
        kind, length = struct.unpack_from("<4sI", data, position)
        yield kind, position + 8, position + 8 + length
        position += 8 + length + length % 2
    raise ValueError(f"a WebP of more than {_MOST_PARTS} chunks")


def _vp8_size(data: bytes, start: int) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, start + 6)
    return width & 0x3FFF, height & 0x3FFF


def _vp8l_size(data: bytes, start: int) -> tuple[int, int]:
    (packed,) = struct.unpack_from("<I", data, start + 1)
    return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1


def _vp8x_size(data: bytes, start: int) -> tuple[int, int]:
    width, height = data[start + 4 : start + 7], data[start + 7 : start + 10]
    return int.from_bytes(width, "little") + 1, int.from_bytes(height, "little") + 1


_WEBP_SIZES = {b"VP8 ": _vp8_size, b"VP8L": _vp8l_size, b"VP8X": _vp8x_size}


def _bmp(data: bytes) -> Header:
    (header_size,) = struct.unpack_from("<I", data, 14)
    pattern = "<HH" if header_size == 12 else "<ii"  # 12: the OS/2 header
    width, height = struct.unpack_from(pattern, data, 18)
    return Header("bmp", width, abs(height))  # a negative height: the rows run from the top


def _tiff(data: bytes) -> Header:
    return Header("tiff", *tiff.read_page(data))


_READERS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes], Header]], ...] = (
    (lambda data: data.startswith(b"\xff\xd8\xff"), _jpeg),
    (lambda data: data.startswith(b"\x89PNG\r\n\x1a\n"), _png),
    (lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP", _webp),
    (lambda data: data.startswith(tiff.MAGICS), _tiff),
    (lambda data: data.startswith(b"BM"), _bmp),
)
