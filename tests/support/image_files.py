"""Image files for tests, sound and broken, made by Pillow and by hand."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image as Pillow

WIDTH, HEIGHT = 48, 32


def picture(mode: str = "RGB") -> Pillow.Image:
    """A small picture with large and small shapes and no two rows or columns alike."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    planes = [rows * 7 % 256, columns * 5 % 256, (rows * 3 + columns * 2) % 256]
    image = Pillow.fromarray(np.dstack(planes).astype(np.uint8))
    if mode in ("LA", "RGBA"):
        image.putalpha(Pillow.fromarray(((rows * 8 + columns) % 256).astype(np.uint8)))
    if mode == "P":
        return image.quantize(16)
    return image if image.mode == mode else image.convert(mode)


def file_of(image_format: str, image: Pillow.Image | None = None, **options: Any) -> bytes:
    """An encoded picture. The options are Pillow's."""
    buffer = io.BytesIO()
    (image or picture()).save(buffer, image_format, **options)
    return buffer.getvalue()


def cut(image_format: str, share: float = 0.6, **options: Any) -> bytes:
    """The first part of an encoded picture."""
    data = file_of(image_format, **options)
    return data[: int(len(data) * share)]


def animation(image_format: str) -> bytes:
    """Three different pictures in one file."""
    turned = [picture().rotate(angle) for angle in (90, 180)]
    return file_of(image_format, save_all=True, append_images=turned)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png_of(width: int, height: int, bits: int = 8, colour_type: int = 2) -> bytes:
    """A PNG whose header says this, and that holds one row of zeros."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    row = zlib.compress(bytes(1 + min(width, 20_000) * 6))
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", row) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def jpeg_saying(width: int, height: int, bits: int = 8) -> bytes:
    """A JPEG whose header says this, with the pixels of another."""
    data = bytearray(file_of("JPEG"))
    struct.pack_into(">BHH", data, data.index(b"\xff\xc0") + 4, bits, height, width)
    return bytes(data)


def bmp_saying(width: int, height: int) -> bytes:
    data = bytearray(file_of("BMP"))
    struct.pack_into("<ii", data, 18, width, height)
    return bytes(data)


def webp_saying(width: int, height: int) -> bytes:
    """A lossless WebP whose header says this."""
    data = bytearray(file_of("WEBP", lossless=True))
    struct.pack_into("<I", data, data.index(b"VP8L") + 9, width - 1 | height - 1 << 14)
    return bytes(data)


def tiff_in_a_circle() -> bytes:
    """A TIFF whose first directory says that it is followed by itself."""
    data = bytearray(file_of("TIFF"))
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    struct.pack_into("<I", data, start + 2 + 12 * count, start)
    return bytes(data)


def premultiplied_tiff() -> bytes:
    """A TIFF that declares its one extra sample as an alpha that the colours are multiplied by."""
    straight = struct.pack("<HHIH", 338, 3, 1, 2)
    data = file_of("TIFF", picture("RGBA"))
    assert straight in data
    return data.replace(straight, struct.pack("<HHIH", 338, 3, 1, 1))


def flipped(data: bytes, position: int) -> bytes:
    changed = bytearray(data)
    changed[position] ^= 0xFF
    return bytes(changed)


def png_with_a_bad_checksum() -> bytes:
    data = file_of("PNG")
    return flipped(data, data.index(b"IDAT") + 20)


def counting(dtype: Any) -> Pillow.Image:
    return Pillow.fromarray(np.arange(WIDTH * HEIGHT).reshape(HEIGHT, WIDTH).astype(dtype))


def read_by_pillow(data: bytes, channels: int) -> np.ndarray:
    """The same file by an independent decoder, in OpenCV's order of channels."""
    image = Pillow.open(io.BytesIO(data))
    array = np.asarray(image.convert({1: "L", 3: "RGB", 4: "RGBA"}[channels]))
    return array if channels == 1 else array[..., [2, 1, 0, 3][:channels]]
