"""PNG: every colour type, depth and interlacing, odd chunks, orientations, and refused files."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
from PIL import Image as Pillow

from agewell.shared.errors import MultiFrameError, UndecodableError, UnsupportedPixelsError
from tests.oracles.format_table import Row
from tests.oracles.orientations import png_disagreements, png_sources, upright
from tests.oracles.picture_readers import by_pillow
from tests.oracles.png_writer import SIGNATURE, Chunk, Png, palette, samples
from tests.support.image_files import animation, file_of, flipped, picture, png_chunk

DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
# With a byte for its filter each row has 256 bytes: these end around blocks of 64 KiB.
BLOCKS = [(255, height) for height in (255, 256, 257, 280, 400, 511, 512, 513, 700, 1024)]
RGB = Png(samples(2, 8), 2)
SIXTEEN = ("16 bits", "save it with 8 bits")


def rows() -> Iterator[Row]:
    for part in (
        plain(),
        transparent(),
        palettes_out_of_order(),
        sizes(),
        chunks(),
        streams(),
        turned(),
        refused(),
    ):
        yield from part


def needed(colour_type: int, bits: int) -> list[Chunk]:
    return [palette(1 << bits)] if colour_type == 3 else []


def plain() -> Iterator[Row]:
    for colour_type, interlaced in product(DEPTHS, (False, True)):
        for bits in DEPTHS[colour_type]:
            name = f"png/type{colour_type}_{bits}bit{'_adam7' if interlaced else ''}.png"
            made = Png(samples(colour_type, bits), colour_type, bits, interlaced,
                       before=needed(colour_type, bits))  # fmt: skip
            if bits == 16:
                yield Row(name, made.data, None, 0, SIXTEEN, UnsupportedPixelsError)
            else:
                yield Row(name, made.data, by_pillow(made.data))


def transparent() -> Iterator[Row]:
    """One colour of an RGB picture, and colours of a palette."""
    one = tuple(int(value) for value in RGB.samples[3, 4])
    for interlaced in (False, True):
        made = replace(RGB, interlaced=interlaced, before=[(b"tRNS", struct.pack(">HHH", *one))])
        yield Row(f"png/rgb_one_transparent_{interlaced}.png", made.data, by_pillow(made.data))
        for bits in (1, 2, 4, 8):
            clear = bytes(range(0, 250, 250 >> bits or 1))[: 1 << bits]
            for name, alphas in {"all": clear, "one": b"\x40", "second": b"\xff\0"}.items():
                made = Png(samples(3, bits), 3, bits, interlaced,
                           before=[palette(1 << bits), (b"tRNS", alphas)])  # fmt: skip
                name = f"png/palette{bits}_transparent_{name}_{interlaced}.png"
                yield Row(name, made.data, by_pillow(made.data))


def palettes_out_of_order() -> Iterator[Row]:
    """Palettes and transparent colours out of their order, read as Pillow reads them."""
    made = Png(samples(3, 4), 3, 4)
    clear, colours = (b"tRNS", bytes(range(16))), palette(16)
    in_order = replace(made, before=[colours, clear]).data
    variants = {
        "colours_first": replace(made, before=[clear, colours]).data,
        "late": replace(made, before=[colours], behind=[clear]).data,
    }
    for name, data in variants.items():
        yield Row(f"png/transparent_{name}.png", data, by_pillow(in_order))
    beyond = replace(made, before=[palette(10)]).data
    yield Row("png/colour_beyond_palette_is_black.png", beyond, by_pillow(beyond))
    doubled = {
        "two_transparent": replace(made, before=[colours, clear, (b"tRNS", b"\1")]).data,
        "two_palettes": replace(made, before=[colours, palette(9)]).data,
        "long_transparent": replace(made, before=[colours, (b"tRNS", bytes(17))]).data,
        "short_transparent": replace(RGB, before=[(b"tRNS", b"\0\1")]).data,
    }
    for name, data in doubled.items():
        yield Row(f"png/{name}.png", data, None, 0, ("transparent colours",), UndecodableError)


def sizes() -> Iterator[Row]:
    for width, height, interlaced in product(range(1, 10), (1, 2, 5, 9), (False, True)):
        made = Png(samples(2, 8, width, height), 2, interlaced=interlaced)
        name = f"png/{width}x{height}_{'adam7' if interlaced else 'plain'}.png"
        yield Row(name, made.data, by_pillow(made.data))


def chunks() -> Iterator[Row]:
    """Chunks that decide nothing here: the pixels are those of the file without them."""
    truth = by_pillow(RGB.data)
    ignored = {
        "gamma": (b"gAMA", struct.pack(">I", 20_000)), "srgb": (b"sRGB", b"\2"),
        "chromaticities": (b"cHRM", struct.pack(">8I", *[30_000] * 8)),
        "background": (b"bKGD", struct.pack(">HHH", 255, 0, 9)), "depths": (b"sBIT", b"\5\5\5"),
        "suggested_palette": (b"sPLT", b"six\0\x08" + bytes(60)), "size": (b"pHYs", bytes(9)),
        "time": (b"tIME", bytes(7)), "broken_profile": (b"iCCP", b"x\0\0" + b"no deflate"),
        "private": (b"prVt", bytes(100)), "hdr": (b"cICP", b"\x09\x10\0\1"),
        "suggested_colours": palette(200),
    }  # fmt: skip
    for name, chunk in ignored.items():
        yield Row(f"png/{name}.png", replace(RGB, before=[chunk]).data, truth)
    broken_text = png_chunk(b"tEXt", b"Comment\0hello")[:-1] + b"?"
    whole = RGB.data
    yield Row("png/checksum_of_a_text.png", whole[:33] + broken_text + whole[33:], truth)
    yield Row("png/bytes_behind.png", whole + bytes(999), truth)
    one_frame = [(b"acTL", struct.pack(">II", 1, 0)),
                 (b"fcTL", struct.pack(">IIIIIHHBB", 0, 19, 13, 0, 0, 1, 1, 0, 0))]  # fmt: skip
    yield Row("png/animation_of_one.png", replace(RGB, before=one_frame).data, truth)


def streams() -> Iterator[Row]:
    truth = by_pillow(RGB.data)
    variants = {
        **{f"level_{level}": {"level": level} for level in range(10)},
        **{f"filter_{kind}": {"filters": (kind,)} for kind in range(5)},
        **{f"window_{bits}": {"window_bits": bits} for bits in range(9, 16)},
        **{f"idat_of_{size}": {"split": size} for size in (1, 7, 100)},
        "a_few_bytes_too_many": {"extra": bytes(500)},
    }
    for name, options in variants.items():
        yield Row(f"png/{name}.png", replace(RGB, **options).data, truth)
    for colours, (width, height) in product((1, 2, 256), BLOCKS):
        flat = np.random.default_rng(1).integers(0, colours, (height, width), np.uint8)
        for level in (1, 9):
            data = file_of("PNG", Pillow.fromarray(flat), compress_level=level)
            yield Row(f"png/{width}x{height}_{colours}_colours_{level}.png", data, by_pillow(data))
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        data = file_of("PNG", picture(mode), optimize=True)
        yield Row(f"png/pillow_{mode}.png", data, by_pillow(data))


def turned() -> Iterator[Row]:
    truth = by_pillow(RGB.data)
    for orientation in range(1, 9):
        for source, said in png_sources(orientation).items():
            name = f"png/turned_{orientation}_by_{source}.png"
            yield Row(name, replace(RGB, before=said).data, upright(truth, orientation))
    for source, said in png_sources(6).items():
        late = replace(RGB, behind=said).data
        yield Row(f"png/turned_by_{source}_behind_pixels.png", late, upright(truth, 6))
    for name, (counts, said) in png_disagreements().items():
        yield Row(f"png/{name}.png", replace(RGB, before=said).data, upright(truth, counts))


def refused() -> Iterator[Row]:
    for name, (data, words) in {**damaged_headers(), **damaged_pixels()}.items():
        yield Row(f"png/{name}.png", data, None, 0, words, UndecodableError)
    gray = Png(samples(0, 8), 0, before=[(b"tRNS", b"\0\7")]).data
    yield Row(
        "png/gray_one_transparent.png", gray, None, 0, ("transparent",), UnsupportedPixelsError
    )
    for name, data in {
        "animation": animation("PNG"),
        "frame_beside_pixels": replace(
            RGB, before=[(b"acTL", struct.pack(">II", 1, 0))], behind=[(b"fdAT", bytes(20))]
        ).data,
    }.items():
        yield Row(f"png/{name}.png", data, None, 0, ("frames",), MultiFrameError)


def damaged_headers() -> dict[str, tuple[bytes, tuple[str, ...]]]:
    def header(bits: int, kind: int, *methods: int) -> bytes:
        content = struct.pack(">IIBBBBB", 19, 13, bits, kind, *methods)
        return SIGNATURE + png_chunk(b"IHDR", content) + RGB.data[33:]

    unknown = "PNG does not have"
    return {
        "colour_type_1": (header(8, 1, 0, 0, 0), ("colour type 1", unknown)),
        "colour_type_9": (header(8, 9, 0, 0, 0), ("colour type 9", unknown)),
        "0_bits": (header(0, 2, 0, 0, 0), ("0 bits", unknown)),
        "3_bits": (header(3, 0, 0, 0, 0), ("3 bits", unknown)),
        "4_bits_of_rgb": (header(4, 2, 0, 0, 0), ("4 bits", unknown)),
        "compression_1": (header(8, 2, 1, 0, 0), ("compression 1", unknown)),
        "filter_1": (header(8, 2, 0, 1, 0), ("filter 1", unknown)),
        "interlace_2": (header(8, 2, 0, 0, 2), ("interlace method 2", unknown)),
        "checksum_of_header": (flipped(RGB.data, 30), ()),
        "no_header": (SIGNATURE + RGB.data[33:], ("header",)),
        "critical_chunk": (replace(RGB, before=[(b"ABCD", b"")]).data, ("ABCD", unknown)),
    }


def damaged_pixels() -> dict[str, tuple[bytes, tuple[str, ...]]]:
    data = RGB.data
    at = data.index(b"IDAT")
    end = data.index(b"IEND") - 4
    short = replace(RGB, samples=RGB.samples[:-1]).data
    flood = replace(RGB, extra=bytes(10_000_000)).data
    return {
        "no_pixels": (data[: at - 4] + data[end:], ("truncated",)),
        "no_end": (data[:end], ("end mark",)),
        "checksum_of_pixels": (flipped(data, end - 1), ("checksum",)),
        "row_missing": (data[:33] + short[33:], ("696 of 754 bytes",)),
        "no_palette": (Png(samples(3, 8), 3).data, ()),
        "bad_filter": (_stream(data, b"\5" + bytes(57)), ()),
        "no_deflate": (_packed(data, b"no deflate at all"), ("do not unpack",)),
        "stream_cut": (_packed(data, _packed_of(data)[:-30]), ("truncated",)),
        "checksum_of_stream": (_packed(data, flipped(_packed_of(data), -1)), ("do not unpack",)),
        "flood": (flood, ("unpack to more than",)),
    }


def _packed_of(data: bytes) -> bytes:
    at = data.index(b"IDAT")
    (length,) = struct.unpack_from(">I", data, at - 4)
    return data[at + 4 : at + 4 + length]


def _packed(data: bytes, stream: bytes) -> bytes:
    """The same file with another stream of pixels."""
    return data[:33] + png_chunk(b"IDAT", stream) + png_chunk(b"IEND", b"")


def _stream(data: bytes, row: bytes) -> bytes:
    return _packed(data, zlib.compress(row * 13))
