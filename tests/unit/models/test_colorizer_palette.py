"""Palettes and colour spaces, against OpenCV and pictures whose colours are known."""

import cv2
import numpy as np

from agewell.workers.models.library.colorizer import palette as palettes

COLOURS = {"#d04020": 0.5, "#2060c0": 0.3, "#f0e8d0": 0.2}


def flat_areas() -> np.ndarray:
    """Three flat areas of 50, 30 and 20 % of a picture, BGR."""
    image = np.zeros((40, 100, 3), np.uint8)
    left = 0
    for colour, share in COLOURS.items():
        right = left + round(100 * share)
        image[:, left:right] = list(bytes.fromhex(colour[1:]))[::-1]
        left = right
    return image


def test_lab_is_opencvs_and_comes_back():
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    lab = palettes.to_lab(image)
    eight_bit = cv2.cvtColor(image, cv2.COLOR_BGR2LAB).astype(float)
    assert np.abs(lab * [2.55, 1, 1] + [0, 128, 128] - eight_bit).max() < 2  # by tables both
    assert np.abs(palettes.to_bgr(lab).astype(int) - image).max() <= 1


def test_lightness_alone_is_that_of_lab():
    """The tolerances are 0.17 from OpenCV's L, which interpolates, and 0.2 from the formula."""
    grays = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(16, 16, 3)
    assert np.array_equal(palettes.to_lightness(grays), palettes.to_lab(grays)[..., 0])
    levels = np.arange(0, 256, 5, np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, len(levels), 3)
    colours.flags.writeable = False
    found = palettes.to_lightness(colours)
    assert found.dtype == np.float32
    assert found.shape == colours.shape[:2]
    assert np.abs(found - palettes.to_lab(colours)[..., 0]).max() < 0.17
    srgb = colours / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    y = linear @ [0.072169, 0.715160, 0.212671]
    exact = np.where(y > 216 / 24389, 116 * np.cbrt(y) - 16, 24389 / 27 * y)
    assert np.abs(found - exact).max() < 0.2


def test_lab_outside_of_srgb_is_clipped_and_rounded():
    shape = 64, 65, 3
    lab = np.random.default_rng(2).uniform([-20, -300, -300], [120, 300, 300], shape)
    lab = lab.astype(np.float32)
    bgr = cv2.cvtColor(lab, cv2.COLOR_LAB2BGR)
    expected = np.rint(np.clip(bgr, 0, 1) * 255)
    np.testing.assert_array_equal(palettes.to_bgr(lab), expected)


def test_a_palette_has_the_colours_and_their_shares():
    found = palettes.extract(palettes.to_lab(flat_areas()), colours=3)
    assert found.dtype == np.float32
    assert ["#" + bytes(c).hex() for c in palettes.to_rgb(found)] == list(COLOURS)
    assert np.allclose(found[:, 3], list(COLOURS.values()))


def test_a_picture_with_fewer_colours_gives_fewer():
    found = palettes.extract(palettes.to_lab(flat_areas()), colours=8)
    assert len({bytes(c) for c in palettes.to_rgb(found)}) == 3
    assert np.isclose(found[:, 3].sum(), 1)
    one = palettes.extract(palettes.to_lab(np.full((1, 2, 3), 90, np.uint8)), colours=8)
    assert np.isclose(one[:, 3].sum(), 1)


def test_the_same_photo_has_the_same_palette():
    lab = palettes.to_lab(np.random.default_rng(1).integers(0, 256, (200, 200, 3), np.uint8))
    first, second = palettes.extract(lab), palettes.extract(lab)
    assert np.array_equal(first, second)
    assert first.shape == (8, 4)


def test_the_palette_of_a_photo_is_that_of_its_lab():
    for seed, shape in enumerate([(200, 301, 3), (40, 50, 3), (1, 1, 3)]):
        photo = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
        photo.flags.writeable = False
        of_lab = palettes.extract(palettes.to_lab(photo))
        np.testing.assert_array_equal(palettes.of_photo(photo), of_lab)


def test_named_colours_become_a_palette_and_back():
    named = np.array([[208, 64, 32], [0, 0, 0], [255, 255, 255]], np.uint8)
    palette = palettes.from_rgb(named)
    assert np.array_equal(palettes.to_rgb(palette), named)
    assert np.allclose(palette[:, 3], 1 / 3)
    assert palettes.from_rgb(np.zeros((0, 3), np.uint8)).shape == (0, 4)
