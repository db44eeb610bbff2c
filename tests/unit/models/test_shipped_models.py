"""The models that come with agewell: they load, and agree with their cards."""

import json

import cv2
import numpy as np
import pytest
import torch

from agewell.shared.settings import Settings
from agewell.workers.models.library.colorizer import measure
from agewell.workers.models.library.colorizer import palette as palettes
from agewell.workers.models.library.colorizer.model import recolour
from agewell.workers.models.load import load_model
from agewell.workers.models.model import Model
from agewell.workers.models.training import card
from tests.support.paths import ROOT

MODELS = ROOT / "models"
SHIPPED = sorted(path.parent for path in MODELS.glob("*/*/model.yaml"))


def predict(model: Model, image: np.ndarray, parameters: dict):
    item = model.preprocess(image, parameters)
    output = model.forward({name: array[None] for name, array in item.items()})
    one = {name: array[0] for name, array in output.items()}
    return model.postprocess(one, image, parameters)


@pytest.mark.parametrize("directory", SHIPPED, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_each_is_fit_to_serve_and_has_a_card(directory):
    model = load_model(directory, torch.device("cpu"))
    assert model.spec.id == f"{directory.parent.name}/{directory.name}"
    assert (directory / "README.md").read_text().startswith(f"# {model.spec.id}\n")


def test_shipped_models_are_small_and_the_default():
    assert sum(path.stat().st_size for path in MODELS.rglob("*") if path.is_file()) < 10e6
    assert (
        Settings.model_fields["models_dir"].get_default(call_default_factory=True).samefile(MODELS)
    )


def test_the_example_digits_are_read():
    model = load_model(MODELS / "digits" / "1", torch.device("cpu"))
    for digit in range(10):
        image = cv2.imread(str(ROOT / "examples" / "digits" / f"{digit}.png"))
        classes = predict(model, image, {}).values["classes"]
        assert (classes[0]["label"], classes[0]["probability"] > 0.9) == (str(digit), True)


def test_of_the_digits_kept_for_testing_as_many_are_read_as_the_card_says():
    from agewell.workers.models.library.digits.training import Digits

    model = load_model(MODELS / "digits" / "1", torch.device("cpu"))
    digits = Digits.load()
    logits = model.forward({"image": digits.test_images})["output"]
    right = float((logits.argmax(axis=1) == digits.test_labels).mean())
    assert right >= 0.98
    assert f"{right:.2%}".replace("%", " %") in (MODELS / "digits/1/README.md").read_text()


@pytest.fixture(scope="module")
def figures() -> dict:
    return json.loads((MODELS / "colorizer" / "1" / "figures.json").read_text())


def test_the_card_and_the_docs_have_the_measured_figures(figures):
    for page in (MODELS / "colorizer" / "1" / "README.md", ROOT / "docs" / "colorizer.md"):
        assert card.table(figures) in page.read_text(), page
    psnr = {way: row["psnr_ab"] for way, row in figures["held_out"].items()}
    assert figures["held_out_photos"] == 12
    assert psnr["gray"] < psnr["mean colour"] < psnr["closed formula"] < psnr["network"]
    assert psnr["best function of L"] < psnr["network"]  # it sees more than luminance


def test_unseen_photo_gains_most_of_the_cards_figure(figures):
    """One of the twelve comes with the examples: the hardest of them, and a JPEG here."""
    photo = cv2.imread(str(ROOT / "examples" / "images" / "kodim23-macaws.jpg"))
    model = load_model(MODELS / "colorizer" / "1", torch.device("cpu"))
    made = predict(model, photo, {"reference": photo}).image
    own, found = (cv2.cvtColor(each, cv2.COLOR_BGR2LAB)[..., 1:] for each in (photo, made))
    gray = np.full_like(own, 128)
    gained = figures["held_out"]["network"]["psnr_ab"] - figures["held_out"]["gray"]["psnr_ab"]
    assert cv2.PSNR(own, found) > cv2.PSNR(own, gray) + 0.3 * gained


def test_a_photo_of_its_training_is_coloured_better_than_by_the_closed_formula():
    photo = cv2.imread(str(ROOT / "examples" / "images" / "tj-holowaychuk.jpg"))
    model = load_model(MODELS / "colorizer" / "1", torch.device("cpu"))
    made = predict(model, photo, {"reference": photo}).image
    lab = palettes.to_lab(photo)
    simple = recolour(photo, measure.closed_formula(lab[..., 0], palettes.extract(lab)))
    own, found, formula = (
        cv2.cvtColor(each, cv2.COLOR_BGR2LAB)[..., 1:] for each in (photo, made, simple)
    )
    assert cv2.PSNR(own, found) > cv2.PSNR(own, formula)
