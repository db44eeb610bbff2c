"""An export of a Hugging Face directory prepares images and reads outputs as its original does."""

import numpy as np
import pytest
import torch

from agewell.workers.models.export.version import export
from agewell.workers.models.load import load_model
from agewell.workers.models.spec import read_spec
from tests.support import hugging_face_detectors as detectors
from tests.support.hugging_face_models import saved

CPU = torch.device("cpu")


def classes(model, image):
    arrays = model.preprocess(image, {})
    found = model.forward({name: array[None] for name, array in arrays.items()})
    one = {name: array[0] for name, array in found.items()}
    given = model.postprocess(one, image, {}).values["classes"]
    return {each["label"]: each["probability"] for each in given}


@pytest.mark.parametrize("problem", [None, "multi_label_classification"])
@pytest.mark.parametrize("name", ["resnet", "deit"])
def test_exported_network_gives_the_classes_of_its_original(tmp_path, name, problem):
    size = {"size": {"shortest_edge": 64}} if name == "resnet" else None
    directory = saved(tmp_path, name, size, problem_type=problem, max_batch_size=4)
    target = directory.with_name("1-onnx")
    assert export(directory, target).made
    original, exported = load_model(directory, CPU), load_model(target, CPU)
    assert exported.spec.input == original.spec.input
    assert exported.spec.kind == "onnx"
    for size in [(90, 120), (33, 20)]:
        image = np.random.default_rng(size).integers(0, 256, (*size, 3), np.uint8)
        expected = classes(original, image)
        assert classes(exported, image) == pytest.approx(expected, abs=1e-4)
        assert all(label.startswith("class-") for label in expected)


@pytest.mark.parametrize("name", ["yolos", "rt_detr"])
def test_export_of_a_detector_says_how_its_boxes_are_read(tmp_path, name):
    directory, network, _ = detectors.save(tmp_path, name)
    spec = read_spec(directory)
    # transformers' post-processing: YOLOS drops the last class, RT-DETR takes the sigmoid.
    assert spec.outputs.activation == {"yolos": "softmax", "rt_detr": "sigmoid"}[name]
    if name == "yolos":
        target = directory.with_name("1-onnx")
        assert export(directory, target).made
        exported = load_model(target, CPU)
        assert exported.spec.outputs == spec.outputs
        assert exported.spec.labels == tuple(network.config.id2label.values())
