"""Batch norm folded into convolutions, and weights in bfloat16 or float16."""

import logging

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import nn

from agewell.shared.errors import ModelError
from agewell.workers.models.kinds.folding import fold
from agewell.workers.models.kinds.folding_graph import fold_graph
from agewell.workers.models.load import load_model

CPU = torch.device("cpu")


def varied(net: nn.Module) -> nn.Module:
    """Give each batch norm statistics and weights that change its input."""
    torch.manual_seed(5)
    for each in net.modules():
        if isinstance(each, nn.modules.batchnorm._BatchNorm) and each.running_mean is not None:
            nn.init.normal_(each.running_mean, 0, 0.5)
            nn.init.uniform_(each.running_var, 0.3, 3)
            nn.init.normal_(each.weight, 1, 0.4)
            nn.init.normal_(each.bias, 0, 0.5)
    return net.eval().requires_grad_(False)


class Block(nn.Module):
    """One pair that folds, and one whose convolution is used by the sum as well."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1, groups=1)
        self.norm_1 = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 8, 3, padding=1, groups=4, bias=False)
        self.norm_2 = nn.BatchNorm2d(8)

    def forward(self, image):
        inner = self.norm_1(self.first(image)).relu()
        outer = self.second(inner)
        return self.norm_2(outer) + outer


class Stubborn(nn.Module):
    """Its code looks at the numbers, so it cannot be traced. Its part can."""

    def __init__(self):
        super().__init__()
        self.block = Block()
        self.last = nn.Conv2d(8, 4, 1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, image):
        if image.mean() > 1e6:
            return image
        return self.norm(self.last(self.block(image)))


class Shared(nn.Module):
    """One convolution with two batch norms."""

    def __init__(self):
        super().__init__()
        conv = nn.Conv2d(3, 3, 3, padding=1)
        self.one = nn.Sequential(conv, nn.BatchNorm2d(3))
        self.two = nn.Sequential(conv, nn.BatchNorm2d(3))

    def forward(self, image):
        return self.two(self.one(image))


class Twice(nn.Module):
    """One convolution that its parent calls twice."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, image):
        return self.conv(self.norm(self.conv(image)))


def _resnet():
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(
        embedding_size=8, hidden_sizes=[16, 32], depths=[1, 2], layer_type="bottleneck"
    )
    return ResNetForImageClassification(config)


NETWORKS = {
    "sequence": (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()), 1),
    "block": (Block, 1),
    "cannot be traced": (Stubborn, 1),
    "shared": (Shared, 0),
    "called twice": (Twice, 0),
    "normalised by the batch": (
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, track_running_stats=False)),
        0,
    ),
    "norm first": (lambda: nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 8, 3)), 0),
    "transposed": (lambda: nn.Sequential(nn.ConvTranspose2d(3, 8, 3), nn.BatchNorm2d(8)), 0),
    # The stem, then 3 + 1 in the first block, and 3 + 1 + 3 in the second stage.
    "resnet of transformers": (_resnet, 12),
}


def output(net, image):
    with torch.inference_mode():
        found = net(image)
    return found if isinstance(found, torch.Tensor) else found.logits


@pytest.mark.parametrize("name", NETWORKS)
def test_folding_keeps_the_outputs(name):
    make, count = NETWORKS[name]
    net = varied(make())
    image = torch.randn(3, 3, 40, 32, generator=torch.Generator().manual_seed(1))
    expected = output(net, image)
    assert fold(net) == count
    left = sum(isinstance(each, nn.BatchNorm2d) for each in net.modules())
    assert left == sum(isinstance(each, nn.BatchNorm2d) for each in make().modules()) - count
    apart = (output(net, image) - expected).abs().max()
    assert apart <= 1e-5 * expected.abs().max()


def test_a_module_that_cannot_be_traced_is_named_in_the_log(caplog):
    with caplog.at_level(logging.INFO):
        fold(varied(Stubborn()))
    assert "the module (Stubborn) stay: it cannot be traced" in caplog.text


@pytest.mark.parametrize(("make", "count"), [(Block, 1), (Twice, 0), (Shared, 0)])
def test_folding_a_graph_keeps_the_outputs(make, count):
    net = varied(make())
    image = torch.randn(3, 3, 40, 32)
    graph = torch.export.export(net, (image,)).module()
    assert fold_graph(graph) == count
    apart = (output(graph, image) - output(net, image)).abs().max()
    assert apart <= 1e-5 * output(net, image).abs().max()


CODE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, mixed=False, determinant=False):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2), nn.BatchNorm2d(16), nn.ReLU())
        self.head = nn.Linear(16, 5)
        self.mixed = mixed
        self.determinant = determinant

    def forward(self, image):
        if self.determinant:
            return torch.linalg.det(image[..., :3, :3])
        features = self.body(image).mean((2, 3))
        return self.head(features.float() if self.mixed else features)
"""


@pytest.fixture
def version(tmp_path):
    """Write a version with a check of its float32 outputs, and return a function to load it."""
    directory = tmp_path / "net" / "1"
    directory.mkdir(parents=True)
    (directory / "model.py").write_text(CODE)
    space: dict = {}
    exec(CODE, space)
    net = varied(space["Net"]())
    save_file(net.state_dict(), directory / "weights.safetensors")
    image = np.random.default_rng(2).random((2, 3, 32, 32), np.float32)
    expected = output(net, torch.from_numpy(image)).numpy()
    np.savez(directory / "check.npz", **{"in:image": image, "out:output": expected})

    def load(**fields):
        document = {
            "task": "classification",
            "kind": "torch",
            "entry": "./model.py:Net",
            "weights": "weights.safetensors",
            "input": {"height": 32, "width": 32},
        }
        (directory / "model.yaml").write_text(yaml.safe_dump(document | fields))
        return load_model(directory, CPU)

    load.image, load.expected = image, expected
    load.net = net
    return load


def test_folded_version_passes_its_check_and_can_be_tapped(version):
    model = version(fold_batch_norm=True)
    found = model.forward({"image": version.image}, ["body"])
    assert np.abs(found["output"] - version.expected).max() < 1e-5 * np.abs(version.expected).max()
    with torch.inference_mode():
        tapped = version.net.body(torch.from_numpy(version.image)).numpy()
    assert np.abs(found["tap:body"] - tapped).max() < 1e-5 * np.abs(tapped).max()


@pytest.mark.parametrize("options", [{}, {"fold_batch_norm": True, "channels_last": True}])
def test_bfloat16_weights_take_half_of_the_memory_and_give_float32(version, options):
    plain = version()
    half = version(weights_dtype="bfloat16", **options)
    found = half.forward({"image": version.image})["output"]
    assert found.dtype == np.float32
    largest = np.abs(version.expected).max()
    assert 0 < np.abs(found - version.expected).max() < 0.03 * largest
    assert half.size_bytes() < 0.51 * plain.size_bytes()


def test_a_wrong_output_is_refused_with_bfloat16_weights_as_well(version, tmp_path):
    path = tmp_path / "net" / "1" / "check.npz"
    changed = version.expected + 0.2 * np.abs(version.expected).max()
    np.savez(path, **{"in:image": version.image, "out:output": changed})
    with pytest.raises(ModelError, match=r"check\.npz: out:output differs by"):
        version(weights_dtype="bfloat16")


def test_a_network_that_mixes_types_is_refused_with_what_to_do(version):
    with pytest.raises(ModelError, match=r"weights_dtype bfloat16: .*use dtype: bfloat16"):
        version(weights_dtype="bfloat16", entry_options={"mixed": True})


def test_an_operator_without_float16_is_refused_with_what_to_do(version):
    with pytest.raises(ModelError, match=r"weights_dtype float16: .*use dtype: bfloat16"):
        version(weights_dtype="float16", entry_options={"determinant": True})


def test_two_types_at_once_are_refused(version):
    with pytest.raises(ModelError, match="dtype is bfloat16, but weights_dtype is float16"):
        version(dtype="bfloat16", weights_dtype="float16")


@pytest.mark.parametrize(("dtype", "allowed"), [("float32", 1e-5), ("bfloat16", 0.03)])
def test_an_exported_program_can_be_folded_and_converted(version, tmp_path, dtype, allowed):
    directory = tmp_path / "program" / "1"
    directory.mkdir(parents=True)
    batch = {0: torch.export.Dim("batch", min=1)}
    example = (torch.from_numpy(version.image),)
    program = torch.export.export(version.net, example, dynamic_shapes=(batch,))
    torch.export.save(program, directory / "net.pt2")
    document = {
        "task": "classification",
        "kind": "exported",
        "weights": "net.pt2",
        "input": {"height": 32, "width": 32},
        "fold_batch_norm": True,
        "weights_dtype": dtype,
    }
    (directory / "model.yaml").write_text(yaml.safe_dump(document))
    found = load_model(directory, CPU).forward({"image": version.image})["output"]
    apart = np.abs(found - version.expected).max()
    assert apart <= allowed * np.abs(version.expected).max()
