"""Formats by variants: several hundred files, each read right or refused by the true reason."""

import contextlib
import sys

import numpy as np
import pytest

from shared.errors import BadImageError
from tests.oracles import bmp_rows, photo_rows, png_rows
from tests.oracles.format_table import judge_all
from workers.images import Limits, decode

MAKERS = {
    "bmp": bmp_rows.rows,
    "png": png_rows.rows,
    "jpeg": photo_rows.jpeg_rows,
    "webp": photo_rows.webp_rows,
}


@pytest.mark.parametrize("image_format", MAKERS)
def test_every_variant_is_exact_or_refused_by_name(image_format, capsys):
    tally = judge_all(MAKERS[image_format]())
    with capsys.disabled():
        sys.stdout.write(f"\n{image_format}: {tally.report().splitlines()[0]}\n")
    assert not tally.wrong, tally.report()


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
