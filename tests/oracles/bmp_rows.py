"""BMP: every header by depth, compression and direction, with true pixels, and refused files."""

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from agewell.shared.errors import UndecodableError, UnsupportedPixelsError
from tests.oracles.bmp_writer import (
    ALPHA_BIT_FIELDS,
    BIT_FIELDS,
    RLE4,
    RLE8,
    Bmp,
    Colour,
    rle4_literal,
    rle4_runs,
    rle8_literal,
    rle8_runs,
)
from tests.oracles.format_table import Row

WIDTH, HEIGHT = 13, 6
HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
MASK_HEADERS = (40, 52, 56, 108, 124)
DIRECTIONS = (False, True)
END_OF_ROW, END = b"\0\0", b"\0\1"

COLOURS: tuple[Colour, ...] = tuple((i * 7 % 256, 255 - i, i * 29 % 256) for i in range(256))
GRAYS: tuple[Colour, ...] = tuple((255 - i, 255 - i, 255 - i) for i in range(256))

MASKS_16 = {
    "565": (0xF800, 0x7E0, 0x1F), "555": (0x7C00, 0x3E0, 0x1F), "bgr565": (0x1F, 0x7E0, 0xF800),
    "444": (0xF00, 0xF0, 0xF), "231": (0x30, 0xE, 0x1), "3103": (0xE000, 0x1FF8, 0x7),
    "880": (0xFF00, 0xFF, 0), "5551": (0x7C00, 0x3E0, 0x1F, 0x8000),
    "4444": (0xF00, 0xF0, 0xF, 0xF000), "1924": (0x8000, 0x7FC0, 0x30, 0xF),
}  # fmt: skip
MASKS_32 = {
    "bgrx": (0xFF0000, 0xFF00, 0xFF), "rgbx": (0xFF, 0xFF00, 0xFF0000),
    "xbgr": (0xFF000000, 0xFF0000, 0xFF00), "bgra": (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
    "rgba": (0xFF, 0xFF00, 0xFF0000, 0xFF000000), "abgr": (0xFF000000, 0xFF0000, 0xFF00, 0xFF),
    "1010102": (0x3FF, 0xFFC00, 0x3FF00000, 0xC0000000), "111110": (0xFFE00000, 0x1FFC00, 0x3FF),
    "7187": (0x7F, 0x1FFFF80, 0xFE000000), "81284": (0xFF, 0xFFF00, 0xFF00000, 0xF0000000),
    "61754": (0x3F, 0x7FFFC0, 0xF800000, 0xF0000000), "24_bits": (0xFFFFFF00, 0xF0, 0xF),
}  # fmt: skip


def numbers(most: int, seed: int = 1) -> list[list[int]]:
    """A picture of numbers up to this one, both ends included."""
    random = np.random.default_rng(seed)
    found = random.integers(0, most + 1, (HEIGHT, WIDTH), dtype=np.uint64).tolist()
    found[0][0], found[0][1], found[-1][-1] = most, 0, most
    return found


def coloured(rows: Sequence[Sequence[int]], palette: Sequence[Colour]) -> np.ndarray:
    return np.array([[(*palette[number], 255) for number in row] for row in rows], np.uint8)


def masked(rows: Sequence[Sequence[int]], masks: Sequence[int]) -> np.ndarray:
    """True colours of pixels: each channel's bits, scaled to 0..255 and rounded."""
    return np.array(
        [[tuple(scaled(number, mask) for mask in (*masks, 0)[:4]) for number in row]
         for row in rows], np.uint8,
    ) | np.array([0, 0, 0, 0 if len(masks) == 4 else 255], np.uint8)  # fmt: skip


def scaled(number: int, mask: int) -> int:
    if not mask:
        return 0
    shift = (mask & -mask).bit_length() - 1
    return int(((number & mask) >> shift) * 255 / (mask >> shift) + 0.5)


def rows() -> Iterator[Row]:
    taken = (indexed(), run_lengths(), true_colour(), bit_fields(), oddities())
    for part in (*taken, not_taken(), damaged(), truncated()):
        yield from part


def directions_of(header: int) -> tuple[bool, ...]:
    return (False,) if header == 12 else DIRECTIONS  # its height has no sign


def indexed() -> Iterator[Row]:
    for header, bits in product(HEADERS, (1, 2, 4, 8)):
        picture = numbers((1 << bits) - 1, bits)
        for (kind, all_colours), down in product(
            {"colour": COLOURS, "gray": GRAYS}.items(), directions_of(header)
        ):
            palette = all_colours[: 1 << bits]
            made = Bmp(picture, bits, header, palette=palette, from_the_top=down)
            name = f"bmp/{header}_{bits}bit_{kind}_{'down' if down else 'up'}.bmp"
            yield Row(name, made.data, coloured(picture, palette))


def run_lengths() -> Iterator[Row]:
    ways = {"runs": (rle8_runs, rle4_runs), "literal": (rle8_literal, rle4_literal)}
    for header, way, (place, bits), down in product(
        (40, 52, 56, 64, 108, 124), ways, enumerate((8, 4)), DIRECTIONS
    ):
        picture = [sorted(row) for row in numbers((1 << bits) - 1, 3)]
        stored = picture if down else picture[::-1]
        packed = END_OF_ROW.join(ways[way][place](row) for row in stored)
        compression = RLE8 if bits == 8 else RLE4
        for end, mark in {"end": END_OF_ROW + END, "no_end": b""}.items():
            made = Bmp(
                picture, bits, header, compression, COLOURS[: 1 << bits], from_the_top=down,
                pixels=packed + mark,
            )  # fmt: skip
            name = f"bmp/{header}_rle{bits}_{way}_{end}_{'down' if down else 'up'}.bmp"
            yield Row(name, made.data, coloured(picture, COLOURS))
    yield from skipped_pixels()


def skipped_pixels() -> Iterator[Row]:
    """Jumps, rows and pictures that end early. Skipped pixels have the first colour."""
    picture = [[0] * WIDTH for _ in range(HEIGHT)]
    picture[-1][2:4] = [5, 5]
    picture[-3][6:9] = [1, 2, 3]
    eight = b"\0\2\2\0" + b"\2\5" + b"\0\2\2\2" + b"\0\3\1\2\3\0"
    four = b"\0\2\2\0" + b"\2\x55" + b"\0\2\2\2" + b"\0\3\x12\x30"
    for bits, packed in {8: eight, 4: four}.items():
        for end, mark in {"picture": END, "row": END_OF_ROW + END}.items():
            compression = RLE8 if bits == 8 else RLE4
            made = Bmp(picture, bits, 40, compression, COLOURS[:16], pixels=packed + mark)
            yield Row(f"bmp/rle{bits}_jump_end_of_{end}.bmp", made.data, coloured(picture, COLOURS))


def true_colour() -> Iterator[Row]:
    """24 bits, and 16 and 32 bits without masks, whose spare bits are not alpha."""
    masks = {16: (0x7C00, 0x3E0, 0x1F), 24: (0xFF0000, 0xFF00, 0xFF), 32: (0xFF0000, 0xFF00, 0xFF)}
    for header, bits in product(HEADERS, masks):
        picture = numbers((1 << bits) - 1, 2)
        for down in directions_of(header):
            made = Bmp(picture, bits, header, from_the_top=down)
            name = f"bmp/{header}_{bits}bit_{'down' if down else 'up'}.bmp"
            yield Row(name, made.data, masked(picture, masks[bits]))
    for width in range(1, 6):
        picture = [row[:width] for row in numbers(2**24 - 1)]
        yield Row(f"bmp/24bit_{width}_wide.bmp", Bmp(picture, 24).data, masked(picture, masks[24]))


def bit_fields() -> Iterator[Row]:
    for header, (bits, sets), down in product(
        MASK_HEADERS, ((16, MASKS_16), (32, MASKS_32)), DIRECTIONS
    ):
        picture = numbers((1 << bits) - 1, 4)
        for kind, masks in sets.items():
            alpha = len(masks) == 4
            if alpha and header == 52:
                continue  # it has no place for that mask
            compression = ALPHA_BIT_FIELDS if alpha and header == 40 else BIT_FIELDS
            made = Bmp(picture, bits, header, compression, masks=masks, from_the_top=down)
            name = f"bmp/{header}_{bits}bit_fields_{kind}_{'down' if down else 'up'}.bmp"
            yield Row(name, made.data, masked(picture, masks))


def oddities() -> Iterator[Row]:
    """Palettes and places of pixels that are unusual, and clear."""
    few = numbers(9)
    full = Bmp(few, 8, palette=COLOURS)
    variants = {
        "few_colours": Bmp(few, 8, palette=COLOURS[:10]),
        "more_colours_than_pixels_can_name": Bmp(few, 8, palette=COLOURS + COLOURS[:44]),
        "gap": Bmp(few, 8, palette=COLOURS, gap=100),
        "gap_after_few_colours": Bmp(few, 8, palette=COLOURS[:10], gap=1001),
        "no_count": Bmp(few, 8, palette=COLOURS, colours_used=0),
        "no_count_and_few": Bmp(few, 8, palette=COLOURS[:10], colours_used=0),
        "absurd_count": Bmp(few, 8, palette=COLOURS, colours_used=305_402_420),
        "pixels_at_0": Bmp(few, 8, palette=COLOURS, pixels_at=0),
        "pixels_at_palette": Bmp(few, 8, palette=COLOURS, pixels_at=54),
        "os2_few_colours": Bmp(few, 8, 12, palette=COLOURS[:10]),
        "os2_gap": Bmp(few, 8, 12, palette=COLOURS, gap=33),
    }
    for name, made in variants.items():
        yield Row(f"bmp/{name}.bmp", made.data, coloured(few, COLOURS))
    one = [[0] * WIDTH for _ in range(HEIGHT)]
    yield Row(
        "bmp/one_colour.bmp", Bmp(one, 1, palette=COLOURS[5:6]).data, coloured(one, COLOURS[5:])
    )
    yield Row("bmp/no_last_padding.bmp", full.data[:-3], coloured(few, COLOURS))
    yield Row("bmp/bytes_behind.bmp", full.data + bytes(99), coloured(few, COLOURS))
    deep = numbers(2**24 - 1)
    for name, made in {
        "24bit_palette": Bmp(deep, 24, palette=COLOURS),
        "24bit_large_palette": Bmp(deep, 24, palette=COLOURS + COLOURS[:44], pixels_at=0),
    }.items():
        yield Row(f"bmp/{name}.bmp", made.data, masked(deep, (0xFF0000, 0xFF00, 0xFF)))


def not_taken() -> Iterator[Row]:
    """Kinds of pixels that are refused by name."""
    few, deep = numbers(9), numbers(2**32 - 1)
    kinds = {
        "jpeg": (Bmp(few, 0, compression=4, pixels=b"\xff\xd8\xff"), ("JPEG", "save it")),
        "png": (Bmp(few, 0, compression=5, pixels=b"\x89PNG"), ("PNG", "save it")),
        "cmyk": (Bmp(deep, 32, compression=11), ("CMYK",)),
        "huffman": (Bmp(few, 1, 64, compression=3, palette=GRAYS[:2]), ("Huffman",)),
        "rle24": (Bmp(few, 24, 64, compression=4), ("RLE24",)),
        "compression_7": (Bmp(few, 24, compression=7), ("compression 7",)),
        "rle8_of_4_bits": (Bmp(few, 4, compression=RLE8, palette=COLOURS[:16]), ("RLE8", "4 bits")),
        "rle4_of_8_bits": (Bmp(few, 8, compression=RLE4, palette=COLOURS[:16]), ("RLE4", "8 bits")),
        "fields_of_24_bits": (Bmp(few, 24, compression=3, masks=(1, 2, 4)), ("fields", "24 bits")),
        "3_bits": (Bmp(few, 3), ("3 bits",)),
        "64_bits": (Bmp(deep, 64), ("64 bits",)),
        "alpha_fields_52": (Bmp(deep, 32, 52, 6, masks=MASKS_32["bgrx"]), ("alpha", "52 bytes")),
        "overlap": (
            Bmp(deep, 32, compression=3, masks=(0xFF, 0xFF0, 0xF000)),
            ("0xff0", "overlap"),
        ),
        "gaps": (Bmp(deep, 32, compression=3, masks=(0xF0F, 0xF0, 0xF000)), ("0xf0f", "gaps")),
        "17_of_16": (Bmp(few, 16, compression=3, masks=(0x1F000, 0xF0, 0xF)), ("exceed",)),
        "no_masks": (Bmp(deep, 32, compression=3, masks=(0, 0, 0)), ("no colour",)),
    }
    for name, (made, words) in kinds.items():
        yield Row(f"bmp/{name}.bmp", made.data, None, 0, words, UnsupportedPixelsError)


def damaged() -> Iterator[Row]:
    """Headers and pixels that contradict themselves."""
    few = numbers(9)
    rle8 = {"bits": 8, "compression": RLE8, "palette": COLOURS[:16]}
    faults = {
        "header_66": (Bmp(few, 24, 66), ("header of 66 bytes",)),
        "colour_beyond": (Bmp(few, 8, palette=COLOURS[:5]), ("colour 9", "5 colours")),
        "3_byte_palette": (Bmp(few, 8, palette=COLOURS, colour_bytes=3), ("768 bytes",)),
        "pixels_in_header": (Bmp(few, 24, pixels_at=20), ("byte 20",)),
        "run_leaves_row": (Bmp(few, **rle8, pixels=b"\x0e\1\0\1"), ("leaves row 0",)),
        "literal_leaves_row": (Bmp(few, **rle8, pixels=rle8_literal([1] * 14)), ("leaves row 0",)),
        "row_too_many": (Bmp(few, **rle8, pixels=END_OF_ROW * 6 + b"\1\1"), ("leaves row 6",)),
        "jump_out": (Bmp(few, **rle8, pixels=b"\0\2\x0e\0\1\1"), ("jump",)),
        "rle_cut": (Bmp(few, **rle8, pixels=b"\x0d\1\0\0\x0d\2"), ("truncated", "row 1 of 6")),
    }  # fmt: skip
    for name, (made, words) in faults.items():
        yield Row(f"bmp/{name}.bmp", made.data, None, 0, words, UndecodableError)


def truncated() -> Iterator[Row]:
    for bits in (1, 2, 4, 8, 16, 24, 32):
        whole = Bmp(numbers(1), bits, palette=COLOURS[:2] if bits <= 8 else ()).data
        for name, missing in {
            "a_byte": 4,
            "half": HEIGHT // 2 * (bits * WIDTH + 31) // 32 * 4,
        }.items():
            yield Row(
                f"bmp/{bits}bit_without_{name}.bmp", whole[:-missing], None, 0, ("truncated",),
                UndecodableError,
            )  # fmt: skip
