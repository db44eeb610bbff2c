"""Images as they come in files, with alpha, gray or with a palette, through a whole job."""

from functools import partial

import cv2
import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from agewell.shared.protocol.messages import InferItem, InferJob
from agewell.shared.settings import Settings
from agewell.workers.inference.batching.batcher import Batcher
from agewell.workers.inference.engine import Engine
from agewell.workers.inference.run import run_infer_job
from agewell.workers.models.catalogue import Catalogue
from agewell.workers.models.library.colorizer import palette as palettes
from agewell.workers.models.load import load_model
from agewell.workers.models.registry import Registry
from tests.support.image_files import file_of, picture
from tests.support.memory_blobs import MemoryBlobs
from tests.support.model_files import version_directory

SHOWS = """
import numpy as np
from agewell.workers.models.model import Model, Prediction


class Shows(Model):
    parameters = frozenset({"reference"})

    def load(self, device):
        pass

    def size_bytes(self):
        return 0

    def preprocess(self, image, parameters):
        return {"mean": np.float32(image.mean()).reshape(1)}

    def forward(self, batch, taps=()):
        return {"mean": batch["mean"]}

    def postprocess(self, output, image, parameters):
        return Prediction(image=parameters["reference"])
"""


def identity(root, **given):
    """A model that returns the image as the network would get it."""
    document = {"kind": "torch", "task": "image", "entry": "torch.nn:Identity"}
    return version_directory(root, "echo", "1", input=given, **document)


def shows_reference(root):
    """A model that returns its reference image."""
    document = {"kind": "torch", "task": "image", "model_class": "./model.py:Shows"}
    (version_directory(root, "shows", "1", **document) / "model.py").write_text(SHOWS)


@pytest.fixture
def run(tmp_path):
    """Run a job on files and return its result and its pictures, RGB."""
    blobs = MemoryBlobs()
    batcher = Batcher().start()
    load = partial(load_model, on=torch.device("cpu"))
    engine = Engine("cpu", Registry(Catalogue(tmp_path), load, 2**20), batcher)

    def made(files, model="echo", **fields):
        refs = blobs.put([(f"{number}", "image/png", each) for number, each in enumerate(files)])
        if "reference" in fields:
            (fields["reference"],) = blobs.put([("ref", "image/png", fields["reference"])])
        job = InferJob(model=model, items=tuple(InferItem(image=ref) for ref in refs), **fields)
        result = run_infer_job(job, engine, blobs, Settings(), (0.0, 0.0))
        decoded = [
            cv2.imdecode(np.frombuffer(blobs.get(item.image), np.uint8), cv2.IMREAD_COLOR)
            for item in result.items
        ]
        return result, [each[..., ::-1].astype(int) for each in decoded]

    yield made
    batcher.close()


def composited(image, colour):
    rgba = image.convert("RGBA")
    below = Pillow.new("RGBA", rgba.size, colour)
    return np.asarray(Pillow.alpha_composite(below, rgba).convert("RGB"), int)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize(
    ("given", "colour"),
    [
        ({}, "#ffffff"),
        ({"background": "black"}, "#000000"),
        ({"background": "#1080F0"}, "#1080f0"),
        ({"background": "SteelBlue"}, "#4682b4"),
    ],
)
def test_transparent_pixels_show_the_colour_of_the_input(tmp_path, run, mode, given, colour):
    identity(tmp_path, **given)
    image = picture(mode)
    result, (found,) = run([file_of("PNG", image)])
    # Pillow composites with whole numbers, which rounds twice.
    assert np.abs(found - composited(image, colour)).max() <= 1
    assert result.items[0].info["flattened"] == colour


def test_each_image_of_a_job_says_for_itself_if_it_was_flattened(tmp_path, run):
    identity(tmp_path)
    opaque = picture("RGB")
    opaque.putalpha(255)
    files = [file_of("PNG", each) for each in (opaque, picture("RGBA"), picture("RGB"))]
    result, found = run(files)
    assert ["flattened" in item.info for item in result.items] == [False, True, False]
    expected = np.asarray(picture("RGB"), int)
    np.testing.assert_array_equal(found[0], expected)
    np.testing.assert_array_equal(found[2], expected)


@pytest.mark.parametrize("mode", ["L", "P", "1"])
def test_gray_and_palette_files_are_read_as_colours(tmp_path, run, mode):
    identity(tmp_path)
    image = picture(mode)
    result, (found,) = run([file_of("PNG", image)])
    np.testing.assert_array_equal(found, np.asarray(image.convert("RGB"), int))
    assert "flattened" not in result.items[0].info


def test_palette_with_a_transparent_colour_is_flattened(tmp_path, run):
    identity(tmp_path, background="red")
    image = picture("P")
    image.info["transparency"] = 3
    data = file_of("PNG", image)
    result, (found,) = run([data])
    assert np.abs(found - composited(image, "#ff0000")).max() <= 1
    assert result.items[0].info["flattened"] == "#ff0000"


def test_reference_is_flattened_like_an_image(tmp_path, run):
    shows_reference(tmp_path)
    image = picture("RGBA")
    result, (found,) = run([file_of("PNG")], "shows", reference=file_of("PNG", image))
    assert np.abs(found - composited(image, "#ffffff")).max() <= 1
    assert result.items[0].info["reference_flattened"] == "#ffffff"
    assert "flattened" not in result.items[0].info


def test_palette_of_a_cut_out_reference_has_its_colour_and_the_background(tmp_path, run):
    shows_reference(tmp_path)
    cut_out = np.zeros((20, 20, 4), np.uint8)
    cut_out[:, :5] = (200, 30, 30, 255)
    _, (found,) = run(
        [file_of("PNG")], "shows", reference=file_of("PNG", Pillow.fromarray(cut_out))
    )
    rgb = palettes.to_rgb(palettes.of_photo(found[..., ::-1].astype(np.uint8)))
    assert np.abs(rgb[0].astype(int) - 255).max() <= 1
    assert np.abs(rgb[1].astype(int) - (200, 30, 30)).max() <= 2
