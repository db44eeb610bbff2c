"""The colorizer as a model: its results for a photo and for a job's parameters."""

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from agewell.workers.models.library.colorizer import palette as palettes
from agewell.workers.models.library.colorizer.model import ColorModel, recolour
from agewell.workers.models.library.colorizer.network import Colorizer
from agewell.workers.models.load import load_model
from agewell.workers.models.taps import heat_map
from agewell.workers.models.training import release

CPU = torch.device("cpu")
ORANGE_AND_BLUE = np.array([[230, 150, 60], [30, 60, 140]], np.uint8)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> ColorModel:
    directory = tmp_path_factory.mktemp("models") / "colorizer" / "7"
    directory.mkdir(parents=True)
    torch.manual_seed(1)
    save_file(Colorizer().state_dict(), directory / release.WEIGHTS)
    release.write_spec(directory, release.colorizer(["#c08040", "#4060a0"]))
    loaded = load_model(directory, CPU)
    assert isinstance(loaded, ColorModel)
    return loaded


def colour(model, image, parameters):
    item = model.preprocess(image, parameters)
    output = model.forward({name: array[None] for name, array in item.items()})
    return model.postprocess({name: array[0] for name, array in output.items()}, image, parameters)


def steps(height=90, width=130) -> np.ndarray:
    """A gray picture of dark and light areas."""
    levels = np.where(np.arange(width) < width // 2, 60, 190).astype(np.uint8)
    return np.repeat(np.broadcast_to(levels, (height, width))[..., None], 3, axis=2).copy()


@pytest.mark.parametrize(("height", "width"), [(90, 130), (512, 301), (1, 7), (33, 1000)])
def test_any_size_comes_back_in_its_own_luminance(model, height, width):
    gray = np.random.default_rng(0).integers(40, 210, (height, width, 1), np.uint8)
    image = np.repeat(gray, 3, axis=2)
    made = colour(model, image, {"palette": np.array([[120, 110, 100]], np.uint8)}).image
    assert made.shape == image.shape
    apart = palettes.to_lab(made)[..., 0] - palettes.to_lab(image)[..., 0]
    assert np.abs(apart).max() < 1


def test_light_and_dark_get_the_palettes_light_and_dark_colour(model):
    """Untrained weights are the closed formula, so the outcome is known."""
    made = colour(model, steps(), {"palette": ORANGE_AND_BLUE}).image
    blue, _, red = np.moveaxis(made.astype(int), -1, 0)
    assert (blue[:, 8:50] > red[:, 8:50] + 30).all()
    assert (red[:, 80:120] > blue[:, 80:120] + 30).all()


def test_colours_may_come_from_a_photo(model):
    reference = np.zeros((40, 40, 3), np.uint8)
    reference[:20] = ORANGE_AND_BLUE[0, ::-1]
    reference[20:] = ORANGE_AND_BLUE[1, ::-1]
    by_photo = colour(model, steps(), {"reference": reference}).image
    by_name = colour(model, steps(), {"palette": ORANGE_AND_BLUE}).image
    assert np.abs(by_photo.astype(int) - by_name).max() <= 3


def test_without_either_the_palette_is_model_yamls(model):
    own = np.array([[0xC0, 0x80, 0x40], [0x40, 0x60, 0xA0]], np.uint8)
    assert np.array_equal(
        colour(model, steps(), {}).image, colour(model, steps(), {"palette": own}).image
    )


def test_colours_that_the_image_has_do_not_matter(model):
    image = np.random.default_rng(2).integers(0, 256, (64, 64, 3), np.uint8)
    lab = palettes.to_lab(image)
    lab[..., 1:] = 0
    gray = palettes.to_bgr(lab)
    parameters = {"palette": ORANGE_AND_BLUE}
    made = [colour(model, each, parameters).image.astype(int) for each in (image, gray)]
    assert np.abs(made[0] - made[1]).mean() < 2


@pytest.mark.parametrize("shape", [(1, 1), (7, 1), (32, 40), (33, 41), (100, 3)])
def test_recolouring_keeps_the_luminance_and_takes_the_colours(shape):
    """One gray level, because L comes from tables: it differs by up to 0.17 of 100."""
    rng = np.random.default_rng(3)
    photo = rng.integers(0, 256, (*shape, 3), np.uint8)
    photo.flags.writeable = False
    ab = rng.uniform(-40, 40, (*shape, 2))
    lab = np.dstack([palettes.to_lab(photo)[..., 0], ab]).astype(np.float32)
    made = recolour(photo, ab)
    assert made.dtype == np.uint8
    assert made.flags.c_contiguous
    assert np.abs(made.astype(int) - palettes.to_bgr(lab)).max() <= 1


def test_an_intermediate_with_its_channels_last_becomes_a_heat_map_over_the_image():
    strength = np.zeros((4, 6, 32), np.float32)
    strength[0, 5] = 1
    image = np.zeros((40, 60, 3), np.uint8)
    shown = heat_map(strength, image).sum(axis=2).astype(int)
    assert shown[:5, -5:].mean() > 200 > 20 > shown[20:, :30].mean()
    assert np.array_equal(shown, heat_map(strength.transpose(2, 0, 1), image).sum(axis=2))


def test_intermediates_have_the_names_of_the_levels(model):
    name = "down.1.self_attention"
    assert name in model.tap_points()
    item = model.preprocess(cv2.resize(steps(), (192, 192)), {})
    batch = {key: array[None] for key, array in item.items()}
    assert model.forward(batch, [name])[f"tap:{name}"].shape == (1, 24, 24, 64)  # B, H/8, W/8, C
