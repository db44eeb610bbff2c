"""A Hugging Face directory behind the queue, with nothing in model.yaml but task and kind."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import transformers as hf
from PIL import Image as Pillow

from tests.support.hugging_face_models import saved
from tests.support.image_files import file_of, picture
from tests.support.stack import Stack, started, state_directory


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    (saved(root, "vit") / "preprocessor_config.json").unlink()
    return saved(root, "deit")


@pytest.fixture(scope="module")
def stack(directory: Path) -> Iterator[Stack]:
    models = directory.parents[1]
    with state_directory() as folder, started(folder, CONCURRENCY=1, MODELS_DIR=models) as running:
        yield running
        running.stop()


def expected(directory: Path, image: Pillow.Image) -> dict[str, float]:
    """Return the probabilities of transformers' own pipeline."""
    processor = hf.AutoImageProcessor.from_pretrained(directory)
    network = hf.AutoModelForImageClassification.from_pretrained(directory).eval()
    pixels = torch.from_numpy(processor(image, return_tensors="np")["pixel_values"])
    with torch.inference_mode():
        scores = network(pixel_values=pixels).logits.softmax(1)[0]
    return {network.config.id2label[at]: float(score) for at, score in enumerate(scores)}


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA"])
def test_files_of_every_mode_get_the_classes_of_transformers(stack, directory, tmp_path, mode):
    image = picture(mode)
    (tmp_path / "a.png").write_bytes(file_of("PNG", image))
    [document] = stack.documents("enqueue", "infer", "deit", tmp_path / "a.png", "--wait")
    [item] = document["items"]
    found = {each["label"]: each["probability"] for each in item["prediction"]["classes"]}
    below = Pillow.new("RGBA", image.size, "white")
    opaque = Pillow.alpha_composite(below, image.convert("RGBA")).convert("RGB")
    assert found == pytest.approx(expected(directory, opaque), abs=2e-3)
    assert item["info"].get("flattened") == ("#ffffff" if mode in ("RGBA", "LA") else None)


def test_info_shows_the_input_that_the_files_give(stack, directory):
    [info] = stack.documents("models", "info", "deit")
    assert info["spec"]["input"] == {
        "height": 224,
        "width": 224,
        "resize": [256, 256],
        "resample": "bicubic",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
    }
    assert "resample" in stack.ok("models", "info", "deit").stdout


def test_directory_without_its_file_is_listed_and_refused_with_the_reason(stack, tmp_path):
    reason = "there is no preprocessor_config.json in "
    [listed] = [each for each in stack.documents("models", "list") if each["name"] == "vit"]
    assert reason in listed["problem"]
    (tmp_path / "a.png").write_bytes(file_of("PNG"))
    refused = stack.run("enqueue", "infer", "vit", tmp_path / "a.png", "--wait")
    assert refused.returncode == 1
    assert reason in refused.stderr
    assert "copy that file from the network's source" in refused.stderr
