"""ResNet-50 as a Hugging Face directory: the whole architecture, random weights."""

import numpy as np
import pytest
import torch

from agewell.workers.models.load import load_model

MODEL_YAML = """
task: classification
kind: huggingface
input: {height: 224, width: 224, fit: crop, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}
labels: [%s]
max_batch_size: 2
"""


@pytest.fixture
def saved(tmp_path):
    """A directory as `save_pretrained` writes it, and the network that it was written from."""
    import transformers  # takes most of a second

    torch.manual_seed(0)
    net = transformers.ResNetForImageClassification(
        transformers.ResNetConfig(num_labels=1000)
    ).eval()
    assert 25.5e6 < sum(p.numel() for p in net.parameters()) < 25.6e6  # ResNet-50's, as published
    directory = tmp_path / "resnet50" / "1"
    net.save_pretrained(directory)
    labels = ", ".join(f"class-{number}" for number in range(1000))
    (directory / "model.yaml").write_text(MODEL_YAML % labels)
    return directory, net


def test_it_classifies_as_transformers_does(saved):
    directory, net = saved
    model = load_model(directory, torch.device("cpu"))
    image = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    item = model.preprocess(image, {})
    output = model.forward({name: array[None] for name, array in item.items()})
    one = {name: array[0] for name, array in output.items()}
    classes = model.postprocess(one, image, {}).values["classes"]

    rgb = image[..., ::-1].astype(np.float32) / 255
    pixels = (rgb - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    with torch.inference_mode():
        given = torch.from_numpy(pixels.transpose(2, 0, 1)[None].astype(np.float32))
        expected = net(pixel_values=given).logits[0].softmax(dim=0)
    best = expected.argsort(descending=True)[:5].tolist()
    assert [each["label"] for each in classes] == [f"class-{number}" for number in best]
    found = [each["probability"] for each in classes]
    assert np.allclose(found, expected[best].numpy(), atol=1e-5)
