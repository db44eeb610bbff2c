"""Exports of Hugging Face directories: what their files say goes into model.yaml."""

import cv2
import numpy as np
import pytest
import torch
import transformers

from agewell.workers.models.export import __main__ as command
from agewell.workers.models.load import load_model
from agewell.workers.models.spec import read_spec

CPU = torch.device("cpu")
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "patch_size": 16,
}


def saved(root, name, network, text, processor=None):
    directory = root / name / "1"
    network.eval().save_pretrained(directory)
    if processor is not None:
        processor.save_pretrained(directory)
    (directory / "model.yaml").write_text(f"kind: huggingface\n{text}")
    assert command.main([name, "--models", str(root), "--threads", "1"]) == 0
    return [load_model(root / name / version, CPU) for version in ("1", "1-onnx")]


@pytest.fixture
def photo():
    small = np.random.default_rng(4).integers(0, 256, (5, 7, 3), np.uint8)
    return cv2.resize(small, (130, 90), interpolation=cv2.INTER_CUBIC)


def predictions(models, photo):
    for model in models:
        item = model.preprocess(photo, {})
        outputs = model.forward({name: array[None] for name, array in item.items()})
        yield model.postprocess({k: v[0] for k, v in outputs.items()}, photo, {}).values


def test_a_classifier_keeps_its_preprocessing_and_its_labels(tmp_path, photo):
    torch.manual_seed(2)
    names = {0: "cat", 1: "dog", 2: "axolotl"}
    config = transformers.ViTConfig(**SMALL, image_size=64, id2label=names)
    processor = transformers.ViTImageProcessor(
        size={"height": 64, "width": 64}, image_mean=[0.1, 0.2, 0.3], image_std=[0.5, 0.6, 0.7]
    )
    network = transformers.ViTForImageClassification(config)
    models = saved(tmp_path, "vit", network, "task: classification\n", processor)
    assert models[1].spec.labels == ("cat", "dog", "axolotl")
    assert models[1].spec.input.mean == (0.1, 0.2, 0.3)
    first, second = (each["classes"] for each in predictions(models, photo))
    assert [each["label"] for each in first] == [each["label"] for each in second]
    probabilities = [[each["probability"] for each in found] for found in (first, second)]
    assert np.allclose(*probabilities, atol=1e-5)


def test_a_detector_keeps_how_its_scores_are_read(tmp_path, photo):
    torch.manual_seed(2)
    config = transformers.YolosConfig(
        **SMALL, image_size=[64, 96], num_detection_tokens=8, num_labels=4
    )
    text = "task: detection\ninput: {height: 64, width: 96}\noutputs: {family: detr, score: 0.01}\n"
    models = saved(tmp_path, "yolos", transformers.YolosForObjectDetection(config), text)
    spec = read_spec(tmp_path / "yolos" / "1-onnx")
    assert spec.outputs.model_dump(exclude_unset=True) == {
        "family": "detr",
        "score": 0.01,
        "activation": "softmax",  # of 4 classes and the class of no object
    }
    first, second = (each["boxes"] for each in predictions(models, photo))
    assert first
    assert [each["label"] for each in first] == [each["label"] for each in second]
    assert np.allclose([each["box"] for each in first], [each["box"] for each in second], atol=0.02)
