"""Formats by variants: several hundred files, each read right or refused by the true reason."""

import sys

import pytest

from tests.oracles import bmp_rows, photo_rows, png_rows
from tests.oracles.format_table import judge_all

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
