"""The figures of the colorizer's card, against OpenCV, the published formula, and known answers."""

import cv2
import numpy as np
import pytest

from agewell.workers.models.library.colorizer import measure
from agewell.workers.models.library.colorizer import palette as palettes


def photo(seed=0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (8, 12, 3), np.uint8)
    return cv2.resize(small, (96, 64), interpolation=cv2.INTER_CUBIC)


def test_psnr_is_opencvs_over_the_ab_channels():
    image = photo()
    other = cv2.GaussianBlur(image, (9, 9), 0)
    labs = [cv2.cvtColor(each, cv2.COLOR_BGR2LAB)[..., 1:] for each in (image, other)]
    ours = measure.psnr_ab(image, labs[1].astype(np.float32) - 128)
    assert ours == pytest.approx(cv2.PSNR(labs[0], labs[1]), abs=1e-6)


def test_colourfulness_is_that_of_the_paper():
    """Half pure red, half pure green: rg = +-255, yb = 127.5 throughout."""
    image = np.zeros((10, 10, 3), np.uint8)
    image[:, :5, 2] = 255
    image[:, 5:, 1] = 255
    assert measure.colourfulness(image) == pytest.approx(255 + 0.3 * 127.5)
    gray = np.repeat(photo()[..., :1], 3, axis=2)
    assert measure.colourfulness(gray) == 0


def test_the_table_is_in_the_order_that_must_hold():
    photos = [photo(seed) for seed in (1, 2)]
    constant = palettes.extract(palettes.to_lab(photo(3)))
    table = measure.table(photos, measure.closed_formula, constant)
    psnr = {way: row["psnr_ab"] for way, row in table.items()}
    assert psnr["gray"] <= psnr["mean colour"] <= psnr["best function of L"] + 0.01
    assert psnr["network"] == psnr["closed formula"] < psnr["nearest palette colour (ceiling)"]
    assert psnr["network, constant palette"] < psnr["network"]
    assert table["gray"]["colourfulness"] < 1 < table["the photo itself"]["colourfulness"]


def test_the_closed_formula_far_from_all_colours_takes_the_nearest():
    palette = np.array([[0.1, 0.5, 0, 0.5], [0.2, 0, 0.5, 0.5]], np.float32)
    found = measure.closed_formula(np.full((1, 1), 100, np.float32), palette)
    assert np.allclose(found[0, 0], [0, 64], atol=0.1)
