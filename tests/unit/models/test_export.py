"""ONNX exports: open sizes, the same numbers, refusal if they differ."""

import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from agewell.shared.errors import ModelError
from agewell.workers.models.export import __main__ as command
from agewell.workers.models.export import graph, parity, version
from agewell.workers.models.library.colorizer.network import _BALANCE_STEPS, Colorizer
from agewell.workers.models.library.digits.network import DigitsCnn
from agewell.workers.models.load import load_model
from agewell.workers.models.spec import read_spec
from agewell.workers.models.training import release

CPU = torch.device("cpu")
SIZES = [(96, 128), (160, 96), (256, 256)]
BATCHES = [1, 2, 8]


def weighty(net: torch.nn.Module) -> torch.nn.Module:
    """Weights none of which is 0: an untrained colorizer's last layer is."""
    torch.manual_seed(11)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return net.eval()


def original(models, name, net, document):
    directory = models / name / "1"
    directory.mkdir(parents=True)
    save_file(net.state_dict(), directory / release.WEIGHTS)
    release.write_spec(directory, document)
    return directory


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A directory of models with an exported colorizer, made through the command."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("models")
    photos = tmp_path_factory.mktemp("photos")
    smooth = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
    cv2.imwrite(str(photos / "a.png"), cv2.resize(smooth, (300, 200)))
    document = release.colorizer(["#c08040", "#4060a0", "#90a070"])
    original(root, "colorizer", weighty(Colorizer()), document)
    given = ["colorizer", "--models", str(root), "--images", str(photos), "--threads", "1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parity, "BATCHES", (2,))  # the tests below have the others
        patch.setattr(parity, "_PASSES", 1)
        assert command.main(given) == 0
    yield root
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def colorizer(models):
    net = Colorizer().eval()
    net.load_state_dict(load_file(models / "colorizer" / "1" / release.WEIGHTS))
    return net


@pytest.fixture(scope="module")
def session(models):
    path = models / "colorizer" / "1-onnx" / version.GRAPH
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(("size", "colours"), list(zip(SIZES, [8, 3, 0], strict=True)))
def test_the_graph_agrees_at_every_size_batch_and_length(session, colorizer, size, batch, colours):
    rng = np.random.default_rng(batch)
    luminance = rng.random((batch, 1, *size), np.float32)
    palette = rng.uniform(-0.5, 0.5, (batch, colours, 4)).astype(np.float32)
    palette[..., 3] = 1 / 8
    found = session.run(None, {"luminance": luminance, "palette": palette})[0]
    with torch.inference_mode():
        expected = colorizer(torch.from_numpy(luminance), torch.from_numpy(palette)).numpy()
    assert np.abs(expected).max() > 0.05
    assert np.abs(found - expected).max() <= 1e-4


def test_attention_is_one_operator_of_opset_23(models):
    path = models / "colorizer" / "1-onnx" / version.GRAPH
    assert [each.version for each in onnx.load(path).opset_import if each.domain == ""] == [23]
    counts = graph.operators(path)
    assert counts["Attention"] == 14  # self and cross, of three levels down, three up, the bottom
    # The mixture of colours, and each step that balances their shares; attention has none.
    assert counts["Softmax"] == 1 + _BALANCE_STEPS


def test_the_exported_version_serves_and_colours_alike(models):
    photo = cv2.resize(np.random.default_rng(3).integers(0, 256, (5, 7, 3), np.uint8), (330, 210))
    pictures = []
    for number in ("1", "1-onnx"):
        model = load_model(models / "colorizer" / number, CPU)
        item = model.preprocess(photo, {})
        output = model.forward({name: array[None] for name, array in item.items()})
        one = {name: array[0] for name, array in output.items()}
        pictures.append(model.postprocess(one, photo, {}).image.astype(int))
    assert np.abs(pictures[0] - pictures[1]).max() <= 1
    assert read_spec(models / "colorizer" / "1-onnx").kind == "onnx"


def test_a_version_that_gives_other_numbers_is_refused(models, tmp_path):
    copy = tmp_path / "colorizer" / "1-onnx"
    shutil.copytree(models / "colorizer" / "1-onnx", copy)
    whole = onnx.load(copy / version.GRAPH)
    weights = max(whole.graph.initializer, key=lambda each: len(each.raw_data))
    changed = np.frombuffer(weights.raw_data, np.float32) * np.float32(1.5)
    weights.raw_data = changed.tobytes()
    onnx.save(whole, copy / version.GRAPH)
    with pytest.raises(ModelError, match="SHA-256"):
        load_model(copy, CPU)
    text = (copy / "model.yaml").read_text()
    digest = read_spec(copy).sha256
    (copy / "model.yaml").write_text(text.replace(f"sha256: {digest}\n", ""))
    with pytest.raises(ModelError, match=r"check\.npz: .* differs by"):
        load_model(copy, CPU)


def test_an_export_that_disagrees_is_not_made(models, monkeypatch, capsys):
    monkeypatch.setattr(parity, "MAX_ABS", 0.0)
    monkeypatch.setattr(parity, "BATCHES", (1,))
    monkeypatch.setattr(
        graph,
        "export",
        lambda module, item, spec, path: shutil.copy(
            models / "colorizer" / "1-onnx" / version.GRAPH, path
        ),
    )
    given = ["colorizer", "--models", str(models), "--version", "1", "--as", "2"]
    assert command.main(given) == 1
    assert "error: differs by" in capsys.readouterr().err
    assert not (models / "colorizer" / "2").exists()


def test_an_export_goes_where_it_is_told_and_not_beside_its_original(tmp_path, capsys):
    root, into = tmp_path / "shipped", tmp_path / "state" / "models"
    original(root, "digits", weighty(DigitsCnn()), release.digits())
    before = sorted(root.rglob("*"))
    given = ["digits", "--models", str(root), "--models", str(into), "--threads", "1"]
    assert command.main([*given, "--into", str(into)]) == 0
    assert sorted(root.rglob("*")) == before
    told = capsys.readouterr().out
    assert f"made {into / 'digits' / '1-onnx'}\n" in told
    assert told.endswith("to serve it: agewell models activate digits 1-onnx\n")
    load_model(into / "digits" / "1-onnx", CPU)
    # It is never the default source of another export.
    assert command.main([*given, "--into", str(into), "--as", "2-other"]) == 0
    spec = read_spec(into / "digits" / "2-other")
    assert spec.variant_of == "1"


def test_an_export_to_another_directory_says_how_workers_find_it(tmp_path, capsys):
    root, into = tmp_path / "models", tmp_path / "other"
    original(root, "digits", weighty(DigitsCnn()), release.digits())
    given = ["digits", "--models", str(root), "--into", str(into), "--threads", "1"]
    assert command.main(given) == 0
    assert f"AGEWELL_MODELS_DIR={into}" in capsys.readouterr().out


def test_a_version_of_that_name_in_any_models_directory_is_not_hidden(tmp_path, capsys):
    root, into = tmp_path / "models", tmp_path / "other"
    original(root, "digits", weighty(DigitsCnn()), release.digits())
    (root / "digits" / "1-onnx").mkdir()
    given = ["digits", "--models", str(root), "--models", str(into), "--into", str(into)]
    assert command.main(given) == 2
    assert f"{root / 'digits' / '1-onnx'} exists already" in capsys.readouterr().err


def test_a_model_without_a_network_is_refused(tmp_path, capsys):
    directory = tmp_path / "net" / "1"
    directory.mkdir(parents=True)
    (directory / "code.py").write_text(
        "from agewell.workers.models.tasks.classification import Classifier\n"
        "class Mine(Classifier):\n    def load(self, device):\n        pass\n"
    )
    document = {"task": "classification", "kind": "torch", "model_class": "./code.py:Mine"}
    (directory / "model.yaml").write_text(yaml.safe_dump(document))
    assert command.main(["net", "--models", str(tmp_path)]) == 2
    assert "has no torch module to export" in capsys.readouterr().err


def test_the_code_and_the_labels_of_the_original_come_along(tmp_path):
    directory = tmp_path / "net" / "1"
    directory.mkdir(parents=True)
    (directory / "code.py").write_text(
        "import torch\nfrom torch import nn\n"
        "from agewell.workers.models.tasks.classification import Classifier\n"
        "class Mine(Classifier):\n    pass\n"
        "def make():\n    torch.manual_seed(0)\n    "
        "return nn.Sequential(nn.Flatten(), nn.Linear(48, 2))\n"
    )
    document = {
        "task": "classification",
        "kind": "torch",
        "entry": "./code.py:make",
        "model_class": "./code.py:Mine",
        "labels": ["cat", "dog"],
        "input": {"height": 4, "width": 4},
        "weights_dtype": "bfloat16",
        "fold_batch_norm": True,
        "channels_last": True,
    }
    (directory / "model.yaml").write_text(yaml.safe_dump(document))
    assert command.main(["net", "--models", str(tmp_path), "--threads", "1"]) == 0
    model = load_model(tmp_path / "net" / "1-onnx", CPU)
    assert type(model).__name__ == "Mine"
    assert model.spec.labels == ("cat", "dog")


def test_beside_its_weights_the_faster_one_serves_and_taps_still_work(models, tmp_path):
    directory = tmp_path / "digits" / "1"
    original(tmp_path, "digits", weighty(DigitsCnn()), release.digits())
    given = ["digits", "--models", str(tmp_path), "--beside", "--threads", "1"]
    assert command.main(given) == 0
    spec = read_spec(directory)
    assert (spec.kind, spec.onnx) == ("torch", version.GRAPH)
    model = load_model(directory, CPU)
    image = np.random.default_rng(5).random((3, 1, 8, 8), np.float32)
    plain, tapped = model.forward({"image": image}), model.forward({"image": image}, ["conv_1"])
    assert np.abs(plain["output"] - tapped["output"]).max() < 1e-4
    assert tapped["tap:conv_1"].shape == (3, 32, 8, 8)


def test_onnxruntime_reports_to_nobody(tmp_path):
    """Its telemetry shows by the file that it keeps of its session."""
    program = (
        "import agewell.workers.models.kinds.onnx_graph as o;print(o.ort.get_available_providers())"
    )
    env = os.environ | {"TMPDIR": str(tmp_path)}
    env.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run([sys.executable, "-c", program], check=True, env=env, timeout=120)
    assert list(tmp_path.iterdir()) == []


def test_existing_file_is_not_overwritten(models, capsys):
    assert command.main(["colorizer", "--models", str(models), "--version", "1"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert command.main(["nosuch", "--models", str(models)]) == 2
    assert "nosuch" in capsys.readouterr().err
