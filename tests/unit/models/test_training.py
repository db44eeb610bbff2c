"""Small trainings: they learn, and one that was stopped goes on as if it had not been."""

import json
import os

import cv2
import numpy as np
import pytest
import torch

from agewell.workers.models.library.colorizer import crops
from agewell.workers.models.library.colorizer import palette as palettes
from agewell.workers.models.library.colorizer.network import ColorizerConfig
from agewell.workers.models.library.colorizer.training import Recipe, Training, train_step
from agewell.workers.models.library.digits import training as digits
from agewell.workers.models.library.digits.network import DigitsCnn
from agewell.workers.models.spec import read_spec
from agewell.workers.models.training import __main__ as command

TINY = ColorizerConfig(widths=(32, 32, 32), bottom_width=32)


@pytest.fixture(autouse=True)
def _one_thread():
    """Sums in one order: the same numbers each time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def photos(count=3):
    """As light on the left as on the right, and of another colour: luminance does not tell."""
    found = []
    for number in range(count):
        lab = np.empty((90, 120, 3), np.float32)
        lab[..., 0] = np.linspace(40 + 5 * number, 80, 90)[:, None]
        lab[:, : 50 + 10 * number, 1:] = (35, 25)
        lab[:, 50 + 10 * number :, 1:] = (-15, -35)
        found.append(palettes.to_bgr(lab))
    return found


def recipe(steps, **changes) -> Recipe:
    sizes = ((32, 64), (64, 32))
    whole = {"batch_size": 4, "warmup_steps": 5, "sizes": sizes, "net": TINY} | changes
    return Recipe(steps=steps, **whole)


def test_a_few_steps_reduce_the_loss(tmp_path):
    training = Training(photos(), tmp_path, recipe(25))
    batch = crops.draw(photos(), 4, seed=9, step=0, sizes=((32, 64),))
    for _ in range(25):
        train_step(training.net, training.state, training.recipe, batch)
    losses = training.state.losses
    assert len(losses) == training.state.step == 25
    assert losses[-1] < losses[0] - 0.2


def test_a_stopped_training_goes_on_to_the_same_numbers(tmp_path):
    whole = Training(photos(), tmp_path / "whole", recipe(8))
    whole.run(every=4)
    stopped = Training(photos(), tmp_path / "stopped", recipe(8))
    real_draw = stopped._draw

    def draw(step):
        if step == 6:
            raise KeyboardInterrupt
        return real_draw(step)

    stopped._draw = draw
    with pytest.raises(KeyboardInterrupt):
        stopped.run(every=4)
    resumed = Training(photos(), tmp_path / "stopped", recipe(8))
    assert resumed.state.step == 4
    resumed.run(every=4)
    assert resumed.state.losses == whole.state.losses
    for name, value in whole.state.mean.items():
        assert torch.equal(resumed.state.mean[name], value), name


def test_views_keep_their_promises():
    for step in range(12):
        batch = crops.draw(photos(), 2, seed=1, step=step, sizes=((32, 64),))
        assert batch.luminance.shape == (2, 1, 32, 64)
        assert batch.colour.shape == (2, 2, 32, 64)
        assert batch.luminance.min() >= 0
        assert batch.luminance.max() <= 1
        assert batch.palette.shape[::2] == (2, 4)
        if batch.palette.shape[1]:
            assert np.allclose(batch.palette[..., 3].sum(axis=1), 1)
    again = crops.draw(photos(), 2, seed=1, step=11, sizes=((32, 64),))
    assert np.array_equal(batch.luminance, again.luminance)


def test_the_command_makes_a_version_that_loads(tmp_path, capsys):
    images = tmp_path / "photos"
    images.mkdir()
    for number, photo in enumerate(photos(2)):
        cv2.imwrite(str(images / f"{number}.png"), photo)
    out = tmp_path / "models" / "colorizer" / "3"
    given = ["--images", str(images), "--held-out", str(images), "--steps", "1", "--threads", "1"]
    assert command.main(["colorizer", *given, "--out", str(out)]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["steps"] == 1
    assert set(figures["held_out"]) >= {"gray", "network", "network, constant palette"}
    assert {path.name for path in out.iterdir()} == {
        "README.md",
        "figures.json",
        "loss.png",
        "model.yaml",
        "samples.jpg",
        "state.safetensors",
        "weights.safetensors",
    }
    spec = read_spec(out)
    assert spec.id == "colorizer/3"
    assert list(spec.options["palette"]) == figures["constant_palette"]


def test_no_photos_is_an_error_in_words(tmp_path, capsys):
    given = ["--images", str(tmp_path), "--out", str(tmp_path / "out")]
    assert command.main(["colorizer", *given]) == 2
    assert f"error: {tmp_path}: no photographs" in capsys.readouterr().err


def test_digits_are_learned_in_two_rounds_better_than_by_chance():
    torch.manual_seed(0)
    data, net = digits.Digits.load(), DigitsCnn()
    assert len(data.train_images) + len(data.test_images) == 1797
    losses = digits.train(net, data, epochs=2)
    assert losses[1] < losses[0]
    assert digits.accuracy(net, data.test_images, data.test_labels) > 0.5


def test_a_pipe_among_the_photos_is_named_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ValueError, match=r"pipe\.jpg: not a photograph"):
        crops.read_photos(tmp_path)
