"""What `agewell models bench` measures, and its figures."""

import json

import numpy as np
import pytest
import yaml

from agewell.producer.cli.bench import _show
from agewell.shared.errors import ModelError, UnknownModelError
from agewell.workers.inference.bench import __main__ as command
from agewell.workers.inference.bench.measure import Task, largest_batch, measure
from agewell.workers.inference.bench.plan import PLAIN, variants
from agewell.workers.models.catalogue import Catalogue
from agewell.workers.models.load import make_model

CODE = """
import torch
from torch import nn

def make(sleep=0.0, other=False):
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    net.append(nn.Flatten()).append(nn.Linear(8, 4))
    if other:
        nn.init.normal_(net[-1].weight)
    return net
"""


def write_version(root, version, **fields):
    directory = root / "net" / version
    directory.mkdir(parents=True)
    (directory / "model.py").write_text(CODE)
    document = {
        "task": "classification",
        "kind": "torch",
        "entry": "./model.py:make",
        "input": {"height": 16, "width": 16},
    }
    (directory / "model.yaml").write_text(yaml.safe_dump(document | fields))
    return directory


def labels(root, *versions, **options):
    options = {"on_gpu": False, "compiled": False} | options
    return [each.label for each in variants(Catalogue(root), "net", versions, **options)]


def test_the_version_that_serves_its_options_and_its_exports_are_measured(tmp_path):
    write_version(tmp_path, "1")
    write_version(tmp_path, "2")
    write_version(tmp_path, "2-other", variant_of="2")
    write_version(tmp_path, "1-old", variant_of="1")
    options = ["2 channels_last", "2 dtype bfloat16", "2 weights bfloat16"]
    assert labels(tmp_path) == ["2", *options, "2-other"]
    assert labels(tmp_path, "1", "1-old") == ["1", "1-old"]
    on_gpu = labels(tmp_path, on_gpu=True, compiled=True)
    assert on_gpu[4:7] == ["2 dtype float16", "2 weights float16", "2 compile"]


def test_options_that_a_version_has_already_are_not_measured_twice(tmp_path):
    write_version(tmp_path, "1", dtype="bfloat16", channels_last=True)
    assert labels(tmp_path) == ["1", "1 float32", "1 channels_last", "1 weights bfloat16"]


def test_an_export_is_compared_with_its_original(tmp_path):
    original = write_version(tmp_path, "1")
    write_version(tmp_path, "1-other", variant_of="1")
    catalogue = Catalogue(tmp_path)
    [found] = variants(catalogue, "net", ["1-other"], on_gpu=False, compiled=False)
    assert found.reference == original


def test_unknown_and_broken_versions_are_refused(tmp_path):
    with pytest.raises(UnknownModelError):
        labels(tmp_path)
    (write_version(tmp_path, "1") / "model.py").unlink()
    with pytest.raises(UnknownModelError):
        labels(tmp_path, "3")
    with pytest.raises(ModelError, match=r"model\.py"):
        labels(tmp_path, "1")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_batch_size": 5}, 5),
        ({"max_batch_size": 64, "max_pixels": 7 * 256 + 100}, 7),
        ({"max_pixels": 10}, 1),
    ],
)
def test_no_batch_is_larger_than_that_of_a_worker(tmp_path, fields, expected):
    model = make_model(write_version(tmp_path, "1", **fields))
    assert largest_batch(model, model.example()) == expected


def task(directory, reference=None, **changes):
    return Task(
        directory=str(directory),
        reference=str(reference or directory),
        changes=changes,
        reference_changes=dict(PLAIN),
        images=None,
        threads=1,
        seconds=0.05,
    )


def test_the_figures_of_a_version(tmp_path):
    directory = write_version(tmp_path, "1", max_batch_size=6)
    found = measure(task(directory), print)
    assert [each.batch for each in found.batches] == [1, 4, 6]
    for each in found.batches:
        assert each.images_per_s == pytest.approx(1000 * each.batch / each.ms, rel=0.05)
        assert each.passes >= 5
    # Weights and bias of both layers, four vectors of the batch norm, and its count of batches.
    assert found.weights_bytes == 4 * (3 * 8 * 9 + 8 + 8 * 4 + 4 + 4 * 8) + 8
    assert found.agreement.value == 1.0
    assert (found.agreement.images, found.agreement.noise) == (8, True)
    assert found.queue_images_per_s > 0
    assert found.runs_on == "torch, cpu"


def test_another_network_agrees_less_and_is_refused_by_its_check(tmp_path):
    directory = write_version(tmp_path, "1")
    other = write_version(tmp_path, "2", entry_options={"other": True})
    model = make_model(directory)
    import torch

    model.load(torch.device("cpu"))
    batch = {"image": np.random.default_rng(0).random((2, 3, 16, 16), np.float32)}
    outputs = model.forward(batch)["output"]
    np.savez(other / "check.npz", **{"in:image": batch["image"], "out:output": outputs})
    found = measure(task(other, directory), print)
    assert found.agreement.value < 1
    assert "out:output differs by" in found.refused


def test_a_variant_that_fails_does_not_stop_the_others(tmp_path, capsys):
    write_version(tmp_path, "1")
    write_version(tmp_path, "1-bad", variant_of="1", entry_options={"no": 1})
    given = ["net", "--models", str(tmp_path), "--seconds", "0.02", "--threads", "1"]
    assert command.main([*given, "--version", "1-bad", "--version", "1"]) == 1
    told = capsys.readouterr()
    bad, good = map(json.loads, told.out.splitlines())
    assert "unexpected keyword argument 'no'" in bad["error"]
    assert "error" not in good
    assert "measuring net/1: 2 of 2" in told.err
    _show([bad, good])
    told = capsys.readouterr()
    assert max(map(len, told.out.splitlines())) <= 80
    assert "error: 1-bad: " in told.err
