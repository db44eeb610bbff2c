"""How a classifier's outputs are read, against the formulas and transformers' pipeline."""

import logging

import numpy as np
import pytest
import torch
import transformers as hf
import yaml
from PIL import Image as Pillow

from agewell.shared.errors import ModelError
from agewell.workers.models.load import load_model
from agewell.workers.models.spec import read_spec
from tests.support.hugging_face_models import saved
from tests.support.model_files import version_directory

CPU = torch.device("cpu")
SIDE = 4

MODULE = """
import torch


class Gives(torch.nn.Module):
    def __init__(self, values, last):
        super().__init__()
        self.values, self.last = torch.tensor(values), last

    def forward(self, image):
        rows = self.values + 0 * image.mean((1, 2, 3))[:, None]
        if self.last == "softmax":
            rows = rows.softmax(1)
        if self.last == "sigmoid":
            rows = rows.sigmoid()
        if self.last == "planes":
            return rows[:, :, None, None]
        if self.last == "map":
            return rows[:, :, None, None].expand(-1, -1, 2, 2)
        if self.last == "several":
            return {"features": torch.zeros(len(image), 7), "classes": rows}
        return rows


def make(values, last=""):
    return Gives(values, last)
"""

LOGITS = [0.5, 2.0, -1.0]
NAMES = ["cat", "dog", "bird"]


def softmax(values):
    weights = np.exp(np.asarray(values))
    return weights / weights.sum()


def sigmoid(values):
    return 1 / (1 + np.exp(-np.asarray(values, float)))


def classifier(root, values, last="", **document):
    directory = version_directory(
        root,
        "gives",
        "1",
        task="classification",
        kind="torch",
        entry="./model.py:make",
        entry_options={"values": values, "last": last},
        **document,
    )
    (directory / "model.py").write_text(MODULE)
    return directory


def classes(directory, image=None):
    model = load_model(directory, CPU)
    image = np.full((SIDE, SIDE, 3), 128, np.uint8) if image is None else image
    arrays = model.preprocess(image, {})
    found = model.forward({name: array[None] for name, array in arrays.items()})
    one = {name: array[0] for name, array in found.items()}
    given = model.postprocess(one, image, {}).values["classes"]
    return {each["label"]: each["probability"] for each in given}


@pytest.mark.parametrize(
    ("last", "outputs", "expected"),
    [
        ("", None, softmax(LOGITS)),
        ("planes", None, softmax(LOGITS)),
        ("", {"activation": "sigmoid"}, sigmoid(LOGITS)),
        ("softmax", None, softmax(LOGITS)),  # not applied twice
        ("softmax", {"activation": "none"}, softmax(LOGITS)),
        ("softmax", {"activation": "softmax"}, softmax(softmax(LOGITS))),
        ("sigmoid", {"activation": "none"}, sigmoid(LOGITS)),
        ("several", {"output": "classes"}, softmax(LOGITS)),
    ],
)
def test_probabilities_follow_the_activation(tmp_path, last, outputs, expected):
    more = {} if outputs is None else {"outputs": {"family": "classes"} | outputs}
    found = classes(classifier(tmp_path, LOGITS, last, labels=NAMES, **more))
    assert found == pytest.approx(dict(zip(NAMES, expected, strict=True)), abs=1e-6)


def test_outputs_that_are_probabilities_are_reported(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        model = load_model(classifier(tmp_path, LOGITS, "softmax"), CPU)
    assert caplog.text.count("gives/1: the outputs are probabilities already") == 1
    assert model.warning().startswith("the outputs are probabilities already")


def test_one_value_is_yes_or_no(tmp_path):
    yes = sigmoid([0.7])[0]
    assert classes(classifier(tmp_path / "a", [0.7], labels=["cat"])) == pytest.approx({"cat": yes})
    found = classes(classifier(tmp_path / "b", [0.7], labels=["no cat", "cat"]))
    assert found == pytest.approx({"cat": yes, "no cat": 1 - yes})
    large = classes(classifier(tmp_path / "c", [-900.0], labels=["cat"]))
    assert large == pytest.approx({"cat": 0})


@pytest.mark.parametrize("labels", [NAMES[:2], [*NAMES, "fish"]])
def test_labels_of_another_number_than_the_classes_are_refused(tmp_path, labels):
    directory = classifier(tmp_path, LOGITS, labels=labels)
    with pytest.raises(
        ModelError, match=rf"\(N, 3\); expected: {len(labels)} classes.*class_count"
    ):
        load_model(directory, CPU)


def test_classes_beyond_the_labels_have_numbers_if_their_count_is_given(tmp_path):
    outputs = {"family": "classes", "class_count": 3}
    found = classes(classifier(tmp_path / "a", LOGITS, labels=NAMES[:2], outputs=outputs))
    assert list(found) == ["dog", "cat", "2"]
    assert list(classes(classifier(tmp_path / "b", LOGITS))) == ["1", "0", "2"]


@pytest.mark.parametrize(
    ("last", "outputs", "words"),
    [
        ("map", {}, r"\(N, 3, 2, 2\); expected: \(N, classes\)"),
        ("", {"activation": "none"}, "probabilities must be within 0..1; found: -1 to 2"),
        ("several", {"output": "logits"}, "no output logits; found features, classes"),
    ],
)
def test_outputs_that_are_no_classes_are_refused(tmp_path, last, outputs, words):
    directory = classifier(tmp_path, LOGITS, last, outputs={"family": "classes"} | outputs)
    with pytest.raises(ModelError, match=words):
        load_model(directory, CPU)


def test_outputs_of_another_family_are_refused(tmp_path):
    directory = classifier(tmp_path, LOGITS, outputs={"family": "semantic"})
    with pytest.raises(ModelError, match="semantic do not fit task classification"):
        read_spec(directory)


@pytest.mark.parametrize(
    "problem", [None, "single_label_classification", "multi_label_classification"]
)
def test_hugging_face_networks_have_the_scores_of_transformers_pipeline(tmp_path, problem):
    directory = saved(tmp_path, "vit", problem_type=problem)
    rgb = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    pipeline = hf.pipeline(
        "image-classification",
        model=hf.AutoModelForImageClassification.from_pretrained(directory),
        image_processor=hf.AutoImageProcessor.from_pretrained(directory),
    )
    expected = {each["label"]: each["score"] for each in pipeline(Pillow.fromarray(rgb))}
    found = classes(directory, np.ascontiguousarray(rgb[..., ::-1]))
    assert found == pytest.approx(expected, abs=1e-5)


def test_hugging_face_regression_is_refused_as_a_classifier(tmp_path):
    directory = saved(tmp_path, "vit", problem_type="regression")
    with pytest.raises(ModelError, match=r"config\.json: problem_type.*model_class"):
        read_spec(directory)


def test_hugging_face_labels_keep_their_numbers_if_some_are_missing(tmp_path):
    directory = saved(tmp_path, "vit")
    config = directory / "config.json"
    text = config.read_text().replace('"0": "class-0"', '"7": "class-7"')
    assert text != config.read_text()
    config.write_text(text)
    assert set(classes(directory)) == {"0", "class-1", "class-2", "class-3", "class-4"}


def test_model_yaml_decides_over_config_json(tmp_path):
    directory = saved(tmp_path, "vit", problem_type="multi_label_classification")
    document = yaml.safe_load((directory / "model.yaml").read_text())
    outputs = {"family": "classes", "activation": "softmax"}
    (directory / "model.yaml").write_text(yaml.safe_dump(document | {"outputs": outputs}))
    assert sum(classes(directory).values()) == pytest.approx(1)
