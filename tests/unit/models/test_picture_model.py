"""Task image: the picture that comes out is the one that went in, at its place and size."""

import logging

import cv2
import numpy as np
import pytest
import torch
import yaml

from agewell.shared.errors import ModelError
from agewell.workers.models.load import load_model, make_model
from tests.support.model_files import version_directory

CPU = torch.device("cpu")

MODULE = """
import torch


class Grows(torch.nn.Module):
    def __init__(self, times, factor, channels):
        super().__init__()
        self.times, self.factor, self.channels = times, factor, channels

    def forward(self, image):
        grown = image.repeat_interleave(self.times, 2).repeat_interleave(self.times, 3)
        return self.factor * grown[:, : self.channels]


def make(times=1, factor=1.0, channels=3):
    return Grows(times, factor, channels)
"""


def network(root, given, **options):
    directory = version_directory(
        root,
        "grows",
        "1",
        task="image",
        kind="torch",
        entry="./model.py:make",
        entry_options=options,
        input=given,
    )
    (directory / "model.py").write_text(MODULE)
    return directory


def made(model, image):
    arrays = model.preprocess(image, {})
    found = model.forward({name: array[None] for name, array in arrays.items()})
    one = {name: array[0] for name, array in found.items()}
    return model.postprocess(one, image, {}).image


def smooth(height, width):
    small = np.random.default_rng(1).integers(0, 256, (3, 4, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("times", [1, 4])
@pytest.mark.parametrize(("height", "width"), [(60, 120), (120, 60), (64, 64)])
@pytest.mark.parametrize("given", [{}, {"fit": "letterbox"}])
def test_picture_lies_where_the_image_does(tmp_path, given, height, width, times):
    directory = network(tmp_path, {"height": 64, "width": 64} | given, times=times)
    image = smooth(height, width)
    found = made(load_model(directory, CPU), image)
    assert found.shape == image.shape
    assert np.abs(found.astype(int) - image).mean() < 3


def test_output_that_is_no_picture_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"no picture: \(N, 2, 8, 8\); expected: \(N, 1, height"):
        load_model(network(tmp_path, {"height": 8, "width": 8}, channels=2), CPU)


def test_output_beyond_0_to_1_is_reported(tmp_path, caplog):
    given = {"height": 8, "width": 8}
    assert load_model(network(tmp_path / "a", given), CPU).warning() == ""
    with caplog.at_level(logging.WARNING):
        model = load_model(network(tmp_path / "b", given, factor=255.0), CPU)
    assert model.warning().startswith("the output has values of 128 to 128; pictures are clipped")
    assert caplog.text.count("grows/1: the output has values of 128 to 128") == 1


def test_version_without_an_input_is_reported(tmp_path):
    directory = network(tmp_path, {})
    assert load_model(directory, CPU).warning() == ""
    path = directory / "model.yaml"
    path.write_text(path.read_text().replace("input: {}\n", ""))
    assert load_model(directory, CPU).warning().startswith("model.yaml has no input: images keep")


@pytest.mark.parametrize(
    ("given", "fields", "expected"),
    [
        ({"height": 8, "width": 8}, {}, [1, 16]),
        ({"height": 8, "width": 8}, {"max_pixels": 5 * 64}, [1, 5]),
        ({"height": 8, "width": 8}, {"max_pixels": 1}, [1]),
        ({"resize": 10, "warmup_side": 5}, {"max_pixels": 250}, [1, 2]),
        ({"height": 8, "width": 8}, {"max_pixels": 64, "batch_buckets": [4, 16]}, [4, 16]),
    ],
)
def test_warm_up_runs_no_batch_of_more_pixels_than_jobs_have(tmp_path, given, fields, expected):
    directory = network(tmp_path, given)
    document = yaml.safe_load((directory / "model.yaml").read_text())
    (directory / "model.yaml").write_text(yaml.safe_dump(document | fields))
    model = make_model(directory)
    model.load(CPU)
    seen = []
    forward = model.forward
    model.forward = lambda batch: seen.append(len(batch["image"])) or forward(batch)
    model.warmup()
    assert seen == expected
