"""Formats by variants: several hundred files, each read right or refused by the true reason."""

import contextlib
import re
import sys

import numpy as np
import pytest

from agewell.shared.errors import BadImageError
from agewell.workers.imaging.codec import Limits, decode
from tests.oracles import bmp_rows, photo_rows, png_rows, tiff_rows
from tests.oracles.format_table import judge_all
from tests.oracles.picture_readers import by_imagemagick, by_pillow

MAKERS = {
    "bmp": bmp_rows.rows,
    "png": png_rows.rows,
    "jpeg": photo_rows.jpeg_rows,
    "webp": photo_rows.webp_rows,
    "tiff": tiff_rows.rows,
}


@pytest.mark.parametrize("image_format", MAKERS)
def test_every_variant_is_exact_or_refused_by_name(image_format, capsys):
    tally = judge_all(MAKERS[image_format]())
    with capsys.disabled():
        sys.stdout.write(f"\n{image_format}: {tally.report().splitlines()[0]}\n")
    assert not tally.wrong, tally.report()


def test_pillow_reads_the_same_bmp_pixels_in_every_file_that_it_takes():
    ignores = ("_5551_", "large_palette")  # a mask for alpha, and a palette before 24-bit pixels
    taken = 0
    for row in bmp_rows.rows():
        if row.truth is None or any(word in row.name for word in ignores):
            continue
        try:
            read = by_pillow(row.data)
        except (OSError, ValueError):
            continue  # it refuses many masks, 2 bits and short headers
        # It cuts off the remainder where 5 bits are scaled to 8.
        np.testing.assert_allclose(read.astype(int), row.truth, atol=1, err_msg=row.name)
        taken += 1
    assert taken > 250


@pytest.mark.parametrize(
    ("image_format", "pattern"),
    [
        (
            "bmp",
            r"(12|40|56|108|124)_([148]|24)bit_(colour_)?\w+|(40|124)_rle\d_(runs|literal)_end_\w+",
        ),
        ("png", r"type\d_\dbit\w*|palette4_transparent_all_\w+|pillow_\w+"),
        ("jpeg", r"RGB_95_|L_95_|4:4:4_\w+|turned_[36]_by_exif"),
        ("webp", r"\w+_(lossless|best|lossy)"),
        ("tiff", r"\w+_(5|8|32773)_(planes|reversed|predictor)|\w+_turn\d|\w+_tiles16x32_5"),
    ],
)
def test_imagemagick_reads_the_same_pixels(image_format, pattern):
    chosen = [
        row for row in MAKERS[image_format]()
        if row.truth is not None and re.fullmatch(rf"\w+/({pattern})\.\w+", row.name)
    ]  # fmt: skip
    assert len(chosen) > 3
    for row in chosen[:: max(1, len(chosen) // 30)]:
        read = by_imagemagick(row.data, image_format)
        np.testing.assert_allclose(
            read.astype(int), row.truth, atol=row.tolerance, err_msg=row.name
        )


@pytest.mark.parametrize("image_format", MAKERS)
def test_mutated_variants_decode_or_are_refused_and_nothing_else(image_format):
    random = np.random.default_rng(20_261_126)
    for row in MAKERS[image_format]():
        data = bytearray(row.data)
        for _ in range(int(random.integers(1, 5))):
            # Half of the hits fall on the header, where they do most.
            reach = len(data) if random.random() < 0.5 else min(len(data), 150)
            data[random.integers(reach)] = random.choice([0, 1, 127, 128, 255])
        with contextlib.suppress(BadImageError):
            assert decode(bytes(data), row.name, Limits(max_pixels=1_000_000)).dtype == np.uint8


def test_pillow_reads_the_same_tiff_pixels_in_every_file_that_it_takes():
    misread = re.compile(r"gray_alpha\w*_planes|palette_of_bytes")  # by Pillow 13.0
    taken = 0
    for row in tiff_rows.rows_by_hand():
        try:
            read = by_pillow(row.data)
        except (OSError, ValueError):
            continue  # it refuses some depths and planes
        if not misread.search(row.name):
            np.testing.assert_array_equal(read, row.truth, err_msg=row.name)
            taken += 1
    assert taken > 900
