"""TIFF: sound files of kinds that are refused, and damaged files, each with its true reason."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace

import imagecodecs
import numpy as np

from agewell.shared.errors import ImageTooLargeError, MultiFrameError, UndecodableError
from agewell.shared.errors import UnsupportedPixelsError as Unsupported
from tests.oracles.format_table import Row
from tests.oracles.tiff_writer import (
    DEFLATE,
    LONG,
    LZMA,
    LZW,
    NONE,
    PACK,
    PACKBITS,
    SHORT,
    ZSTD,
    Tag,
    Tiff,
)

JPEG, WEBP = 7, 50001
SAMPLES = np.arange(24 * 40 * 3, dtype=np.uint8).reshape(24, 40, 3) // np.uint8(2)
COLOUR, GRAY = Tiff(SAMPLES, 2), Tiff(SAMPLES[..., :1], 1)
BIT = Tiff(SAMPLES[..., :1] % 2, 1, bits=1)

COMPRESSIONS = {
    6: "old-style JPEG", 9: "JBIG", 32766: "NeXT", 32809: "ThunderScan", 33003: "JPEG 2000",
    34712: "JPEG 2000", 34661: "JBIG", 34676: "SGI Log", 34887: "LERC", 34933: "PNG",
    34934: "JPEG XR", 50002: "JPEG XL", 52546: "JPEG XL", 12345: "unknown",
}  # fmt: skip
COLOUR_MODELS = {
    4: "mask", 5: "CMYK", 8: "Lab", 9: "ICC Lab", 10: "ITU Lab", 32803: "raw sensor mosaic",
    32844: "LogL", 32845: "LogLuv", 34892: "linear raw", 77: "unknown colour model 77",
}  # fmt: skip
TAGS: Mapping[str, tuple[Tiff, dict[int, Tag | None], tuple[str, ...]]] = {
    "no_colour_model": (GRAY, {262: None}, ("colour model is missing",)),
    "ycbcr": (COLOUR, {262: (SHORT, (6,))}, ("YCbCr", "not JPEG-compressed", "RGB")),
    "predictor_3": (replace(COLOUR, compression=LZW), {317: (SHORT, (3,))}, ("predictor 3",)),
    "predictor_alone": (COLOUR, {317: (SHORT, (2,))}, ("predictor without a compression",)),
    "predictor_of_bits": (
        replace(BIT, compression=LZW),
        {317: (SHORT, (2,))},
        ("predictor 2 with 1-bit",),
    ),
    "gray16": (GRAY, {258: (SHORT, (16,))}, ("16-bit integer", "8 bits a channel")),
    "gray12": (GRAY, {258: (SHORT, (12,))}, ("12-bit integer",)),
    "gray32": (GRAY, {258: (SHORT, (32,))}, ("32-bit integer",)),
    "signed": (GRAY, {339: (SHORT, (2,))}, ("8-bit signed integer",)),
    "float": (GRAY, {258: (SHORT, (32,)), 339: (SHORT, (3,))}, ("32-bit floating-point",)),
    "complex": (GRAY, {258: (SHORT, (64,)), 339: (SHORT, (6,))}, ("64-bit complex",)),
    "mixed_bits": (COLOUR, {258: (SHORT, (5, 6, 5))}, ("5, 6, 5 bits", "8 bits a channel")),
    "mixed_numbers": (COLOUR, {339: (SHORT, (1, 1, 2))}, ("channels",)),
    "premultiplied": (
        Tiff(SAMPLES[..., [0, 1, 2, 0]], 2, extra=(1,)),
        {},
        ("multiplied by alpha", "straight"),
    ),
    "unspecified": (
        Tiff(SAMPLES[..., [0, 1, 2, 0]], 2, extra=(0,)),
        {},
        ("one more channel", "not said to be alpha", "straight"),
    ),
    "gray_unspecified": (Tiff(SAMPLES[..., :2], 1), {}, ("one more channel", "gray")),
    "gray_premultiplied": (Tiff(SAMPLES[..., :2], 1, extra=(1,)), {}, ("multiplied by alpha",)),
    "two_extra": (Tiff(SAMPLES[..., [0, 1, 2, 0, 1]], 2, extra=(2, 0)), {}, ("5 channels",)),
    "gray_and_two": (Tiff(SAMPLES, 1, extra=(0, 0)), {}, ("gray of 3 channels",)),
    "rgb_of_two": (Tiff(SAMPLES[..., :2], 2), {}, ("RGB of 2 channels",)),
    "fax_of_colours": (COLOUR, {259: (SHORT, (4,))}, ("fax compression of 3 x 8 bits",)),
    "jpeg_of_bits": (BIT, {259: (SHORT, (JPEG,))}, ("JPEG compression of 1 channels of 1 bits",)),
    "webp_of_gray": (GRAY, {259: (SHORT, (WEBP,))}, ("WebP compression of 1 channels",)),
    "bit_order_3": (COLOUR, {266: (SHORT, (3,))}, ("bit order 3",)),
    "planes_3": (COLOUR, {284: (SHORT, (3,))}, ("planar configuration 3",)),
    "small_copy": (COLOUR, {254: (LONG, (1,)), 330: (LONG, (8,))}, ("smaller copy",)),
}
BROKEN_TAGS: Mapping[str, tuple[Tiff, dict[int, Tag | None], tuple[str, ...]]] = {
    "no_width": (COLOUR, {256: None}, ("no size",)),
    "zero_height": (COLOUR, {257: (LONG, (0,))}, ("40 x 0",)),
    "fraction_of_width": (COLOUR, {256: (5, (40,))}, ("tag 256", "whole number")),
    "two_widths": (COLOUR, {256: (SHORT, (40, 40))}, ("tag 256", "one whole number")),
    "two_values_of_bits": (COLOUR, {258: (SHORT, (8, 8))}, ("tag 258 has 2 values",)),
    "no_offsets": (COLOUR, {273: None}, ("place 0 of 1 strips",)),
    "no_sizes": (replace(COLOUR, compression=LZW), {279: None}, ("place 0 of 1 strips",)),
    "two_of_five": (COLOUR, {278: (LONG, (5,))}, ("place 1 of 5 strips",)),
    "offset_zero": (COLOUR, {273: (LONG, (0,))}, ("strip 1 of 1 is missing",)),
    "size_zero": (COLOUR, {279: (LONG, (0,))}, ("strip 1 of 1 is missing",)),
    "offset_far": (COLOUR, {273: (LONG, (2**32 - 9,))}, ("strip 1 of 1 ends beyond",)),
    "size_far": (replace(COLOUR, compression=LZW), {279: (LONG, (2**31,))}, ("ends beyond",)),
    "size_short": (COLOUR, {279: (LONG, (2_000,))}, ("it holds 2,000 of 2,880 bytes",)),
    "no_rows": (COLOUR, {278: (LONG, (0,))}, ("40 x 0 px",)),
    "no_tile": (replace(COLOUR, tile=(16, 16)), {322: (LONG, (0,))}, ("0 x 16 px",)),
    "vast_tile": (
        replace(COLOUR, tile=(16, 16)),
        {322: (LONG, (2**20,)), 323: (LONG, (2**20,))},
        ("far too large",),
    ),
    "no_palette": (replace(GRAY, photometric=3), {}, ("palette of 0 values, not 768",)),
    "short_palette": (
        replace(GRAY, photometric=3),
        {320: (SHORT, tuple(range(767)))},
        ("palette of 767 values",),
    ),
    "taller_than_strips": (
        replace(COLOUR, compression=DEFLATE),
        {257: (LONG, (30,)), 278: (LONG, (30,))},
        ("it holds 2,880 of 3,600 bytes",),
    ),
    "shorter_than_strips": (
        replace(COLOUR, compression=DEFLATE),
        {257: (LONG, (10,)), 278: (LONG, (10,))},
        ("unpacks to more",),
    ),
}


def rows() -> Iterator[Row]:
    for number, name in COMPRESSIONS.items():
        tiff = replace(COLOUR, more={259: (SHORT, (number,))})
        words = (f"compression is {name} ({number})", "save it with LZW, deflate or none")
        yield _refused(f"compression_{number}.tif", tiff.file(), words, Unsupported)
    for number, name in COLOUR_MODELS.items():
        tiff = replace(COLOUR, more={262: (SHORT, (number,))})
        words = (name, "save it as RGB or gray")
        yield _refused(f"colours_{number}.tif", tiff.file(), words, Unsupported)
    for cases, error in ((TAGS, Unsupported), (BROKEN_TAGS, UndecodableError)):
        for name, (tiff, more, words) in cases.items():
            data = replace(tiff, more={**tiff.more, **more}).file()
            yield _refused(f"{name}.tif", data, words, error)
    yield from _kinds_of_block()
    yield from _damaged_blocks()
    yield from _bombs()


def _refused(name: str, data: bytes, words: tuple[str, ...], error: type[Exception]) -> Row:
    return Row(f"tiff/{name}", data, refused=words, error=error)  # type: ignore[arg-type]


def _kinds_of_block() -> Iterator[Row]:
    """Sound blocks of a kind that is not taken: their tags do not show it."""
    old = replace(GRAY, compression=LZW, pack=lambda raw: b"\0\1" + raw)
    yield _refused("old_lzw.tif", old.file(), ("old-style LZW",), Unsupported)
    jpeg = imagecodecs.jpeg8_encode(np.ascontiguousarray(SAMPLES[..., 0]))
    for marker, word in ((0xC3, "lossless JPEG"), (0xC5, "hierarchical JPEG")):
        other = jpeg.replace(b"\xff\xc0", bytes([0xFF, marker]))
        tiff = replace(GRAY, compression=JPEG, pack=lambda _, other=other: other)
        yield _refused(f"jpeg_{marker:x}.tif", tiff.file(), (word,), Unsupported)
    twelve = jpeg.replace(b"\xff\xc0\0\x0b\x08", b"\xff\xc0\0\x0b\x0c")
    tiff = replace(GRAY, compression=JPEG, pack=lambda _: twelve)
    yield _refused("jpeg_12_bits.tif", tiff.file(), ("12 bits",), Unsupported)


def _damaged_blocks() -> Iterator[Row]:
    """Blocks that are cut, empty or overwritten: an error for each kind, and never black."""
    damages = {
        "cut": lambda packed: packed[: len(packed) * 6 // 10],
        "cut_by_a_byte": lambda packed: packed[:-1],
        "one_byte": lambda packed: packed[:1],
        "zeros_at_the_end": lambda packed: packed[:-40] + bytes(40),
        "zeros": lambda packed: bytes(len(packed)),
        "ones": lambda packed: b"\xff" * len(packed),
        "begins_late": lambda packed: packed[5:],
    }
    packers = dict(PACK) | {
        JPEG: lambda raw: imagecodecs.jpeg8_encode(np.frombuffer(raw, np.uint8).reshape(-1, 40, 3)),
        WEBP: lambda raw: imagecodecs.webp_encode(
            np.frombuffer(raw, np.uint8).reshape(-1, 40, 3), lossless=True
        ),
    }
    for compression, pack in packers.items():
        photometric = 6 if compression == JPEG else 2
        for name, damage in damages.items():
            if _still_right(compression, name):
                continue
            tiff = Tiff(
                SAMPLES, photometric, compression=compression, rows=10,
                pack=lambda raw, pack=pack, damage=damage: damage(pack(raw)),
            )  # fmt: skip
            words = ("truncated or damaged: strip",)
            yield _refused(f"{compression}_{name}.tif", tiff.file(), words, UndecodableError)


def _still_right(compression: int, damage: str) -> bool:
    """The damage does not show: LZW needs no end code, raw pixels and JPEG have no checksum."""
    return (
        (compression == NONE and damage in ("zeros_at_the_end", "zeros", "ones"))
        or (compression == PACKBITS and damage == "ones")
        or (compression == LZW and damage == "cut_by_a_byte")
        or (compression == JPEG and damage == "zeros_at_the_end")
    )


def _bombs() -> Iterator[Row]:
    """Blocks that unpack to far more than their share, and headers that ask for too much."""
    vast = bytes(2**24)
    for compression in (LZW, DEFLATE, PACKBITS, LZMA, ZSTD):
        bomb = b"\x81\0" * 2**17 if compression == PACKBITS else PACK[compression](vast)
        tiff = replace(COLOUR, compression=compression, pack=lambda _, bomb=bomb: bomb)
        yield _refused(f"bomb_{compression}.tif", tiff.file(), ("strip 1 of 1",), UndecodableError)
    wide = replace(GRAY, more={256: (LONG, (16_385,))})
    yield _refused("wide.tif", wide.file(), ("16,384 px a side",), ImageTooLargeError)
    pages = bytearray(COLOUR.file())
    (first,) = struct.unpack_from("<I", pages, 4)
    (count,) = struct.unpack_from("<H", pages, first)
    struct.pack_into("<I", pages, first + 2 + 12 * count, len(pages))
    pages += pages[first : first + 2 + 12 * count] + bytes(4)
    yield _refused("two_pages.tif", bytes(pages), ("2 frames or pages",), MultiFrameError)
