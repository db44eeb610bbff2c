"""The models that come with agewell: they load, and do what their cards say."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from shared.settings import Settings
from workers.models.base import Model
from workers.models.opening import ready_model

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "models"
SHIPPED = sorted(path.parent for path in MODELS.glob("*/*/model.yaml"))


def predict(model: Model, image: np.ndarray, parameters: dict):
    item = model.preprocess(image, parameters)
    output = model.forward({name: array[None] for name, array in item.items()})
    one = {name: array[0] for name, array in output.items()}
    return model.postprocess(one, image, parameters)


@pytest.mark.parametrize("directory", SHIPPED, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_each_is_fit_to_serve_and_has_a_card(directory):
    model = ready_model(directory, torch.device("cpu"))
    assert model.spec.id == f"{directory.parent.name}/{directory.name}"
    assert (directory / "README.md").read_text().startswith(f"# {model.spec.id}\n")


def test_they_are_small_and_where_the_settings_look():
    assert sum(path.stat().st_size for path in MODELS.rglob("*") if path.is_file()) < 10e6
    assert Settings.model_fields["models_dir"].get_default(call_default_factory=True) == MODELS


def test_the_example_digits_are_read():
    model = ready_model(MODELS / "digits" / "1", torch.device("cpu"))
    for digit in range(10):
        image = cv2.imread(str(ROOT / "examples" / "digits" / f"{digit}.png"))
        classes = predict(model, image, {}).values["classes"]
        assert (classes[0]["label"], classes[0]["probability"] > 0.9) == (str(digit), True)


def test_of_the_digits_kept_for_testing_as_many_are_read_as_the_card_says():
    from workers.models.training.digits import Digits

    model = ready_model(MODELS / "digits" / "1", torch.device("cpu"))
    digits = Digits.load()
    logits = model.forward({"image": digits.test_images})["output"]
    right = float((logits.argmax(axis=1) == digits.test_labels).mean())
    assert right >= 0.98
    assert f"{right:.2%}".replace("%", " %") in (MODELS / "digits/1/README.md").read_text()
