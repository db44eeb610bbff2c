"""8-bit exports: calibrated on photos, measured on others, and refused if they get worse."""

import json

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import nn

from agewell.workers.models.agreement import agreement_for
from agewell.workers.models.export import __main__ as command
from agewell.workers.models.export import gate, int8
from agewell.workers.models.image_folder import LEAST_PHOTOS, open_folder
from agewell.workers.models.kinds.torch_module import TorchModule
from agewell.workers.models.load import load_model, make_model
from agewell.workers.models.spec import read_spec

CPU = torch.device("cpu")

CLASSIFIER = """
from torch import nn

def make():
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, stride=2), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2), nn.BatchNorm2d(64), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )
"""

PICTURES = """
import torch
from torch import nn

class Net(nn.Module):
    # The second convolution gets a channel of thousands that it ignores. Alone it can lose all in
    # 8 bits, as one scale serves all channels of its input.
    def __init__(self, huge):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 3, 1)
        self.huge = huge

    def forward(self, image):
        inner = self.first(image)
        scale = torch.tensor([1.0, 1.0, 1.0, self.huge]).reshape(1, 4, 1, 1)
        return self.second(inner.relu() * scale)

def make(huge=1.0):
    return Net(huge)
"""


def write_version(root, name, code, document):
    directory = root / name / "1"
    directory.mkdir(parents=True)
    (directory / "model.py").write_text(code)
    document = {"kind": "torch", "entry": "./model.py:make", **document}
    (directory / "model.yaml").write_text(yaml.safe_dump(document))
    torch.manual_seed(3)
    net = TorchModule(read_spec(directory), directory).make_module()
    for each in net.modules():
        if isinstance(each, nn.BatchNorm2d):
            nn.init.normal_(each.running_mean, 0, 0.1)
            nn.init.uniform_(each.running_var, 0.5, 1)
    if isinstance(getattr(net, "second", None), nn.Conv2d):
        # A picture: the first three channels of the first convolution are the image.
        for conv in (net.first, net.second):
            nn.init.zeros_(conv.weight)
            nn.init.zeros_(conv.bias)
            for channel in range(3):
                conv.weight.data[channel, channel, conv.kernel_size[0] // 2] = 0.4
        net.first.weight.data[3, :, 1, 1] = 1
    save_file(net.state_dict(), directory / "weights.safetensors")
    document["weights"] = "weights.safetensors"
    (directory / "model.yaml").write_text(yaml.safe_dump(document))
    return directory


@pytest.fixture
def classifier(tmp_path):
    size = {"height": 32, "width": 32, "mean": [0.5], "std": [0.25]}
    write_version(tmp_path, "net", CLASSIFIER, {"task": "classification", "input": size})
    return tmp_path


def photos(folder, count, suffix="png"):
    """Smooth pictures of different colours and sizes."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(8)
    for number in range(count):
        small = rng.integers(0, 256, (4, 5, 3), np.uint8)
        picture = cv2.resize(small, (40 + number % 7, 36), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{number:03}.{suffix}"), picture)
    return folder


def export(root, name, *given):
    return command.main([name, "--models", str(root), "--threads", "1", "--int8", *map(str, given)])


def test_weights_are_8_bits_per_channel_and_activations_are_calibrated(classifier, tmp_path):
    assert export(classifier, "net", "--calibrate", photos(tmp_path / "photos", 25)) == 0
    graph = onnx.load(classifier / "net" / "1-int8" / "model.onnx").graph
    operators = [node.op_type for node in graph.node]
    assert "BatchNormalization" not in operators
    assert operators.count("Conv") == 2
    constants = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    assert not [each for each in constants.values() if each.dtype == np.float32 and each.size > 64]
    made_by = {output: node for node in graph.node for output in node.output}
    for conv in (node for node in graph.node if node.op_type == "Conv"):
        data, weight = (made_by[name] for name in conv.input[:2])
        assert data.op_type == weight.op_type == "DequantizeLinear"
        kernel, scales = (constants[name] for name in weight.input[:2])
        assert kernel.dtype == np.int8
        assert scales.shape == (kernel.shape[0],)
        assert constants[data.input[2]].dtype == np.uint8


def test_the_figures_are_those_of_the_held_out_photos(classifier, tmp_path, capsys):
    folder = photos(tmp_path / "photos", 25)
    given = ("--calibrate", folder, "--json", "--min-agreement", 0)
    assert export(classifier, "net", *given) == 0
    found = json.loads(capsys.readouterr().out)["quantised"]["gate"]
    assert (found["calibrated"], found["held_out"], found["skipped"]) == (20, 5, 0)

    original = make_model(classifier / "net" / "1")
    original.load(CPU)
    session = ort.InferenceSession(classifier / "net" / "1-int8" / "model.onnx")
    same = []
    for path in sorted(folder.iterdir())[4::5]:
        batch = original.preprocess(cv2.imread(str(path)), {})["image"][None]
        expected = original.forward({"image": batch})["output"]
        got = session.run(None, {session.get_inputs()[0].name: batch})[0]
        assert 0 < np.abs(got - expected).max() < 0.1 * np.abs(expected).max()
        same.append(expected.argmax() == got.argmax())
    assert found["value"] == pytest.approx(np.mean(same))


def test_an_export_that_agrees_too_little_is_refused_with_its_figures(tmp_path, capsys):
    write_version(tmp_path, "net", PICTURES, {"task": "image", "input": {"warmup_side": 32}})
    folder = photos(tmp_path / "photos", 15)
    assert export(tmp_path, "net", "--calibrate", folder, "--min-agreement", 90) == 1
    told = capsys.readouterr()
    assert "PSNR of the pictures" in told.out
    assert "at least 90.0 dB needed" in told.err
    assert [each.name for each in (tmp_path / "net").iterdir()] == ["1"]


def test_the_psnr_is_that_of_all_final_pictures_together(tmp_path, capsys):
    write_version(tmp_path, "net", PICTURES, {"task": "image", "input": {"warmup_side": 32}})
    folder = photos(tmp_path / "photos", 15)
    assert export(tmp_path, "net", "--calibrate", folder, "--json") == 0
    found = json.loads(capsys.readouterr().out)["quantised"]["gate"]
    models = [load_model(tmp_path / "net" / each, CPU) for each in ("1", "1-int8")]
    errors = []
    for path in sorted(folder.iterdir())[4::5]:
        photo = cv2.imread(str(path))
        pictures = []
        for model in models:
            output = next(
                iter(model.forward({"image": model.preprocess(photo, {})["image"][None]}).values())
            )
            pictures.append(model.postprocess({"output": output[0]}, photo, {}).image)
        errors.append(np.mean((pictures[0].astype(float) - pictures[1]) ** 2))
    psnr = 10 * np.log10(255**2 / np.mean(errors))
    assert found["value"] == pytest.approx(psnr, abs=1e-3)
    assert found["lowest"] == pytest.approx(10 * np.log10(255**2 / max(errors)), abs=1e-3)


def test_a_layer_that_loses_too_much_stays_in_float32(tmp_path, capsys):
    fields = {"task": "image", "input": {"warmup_side": 32}, "entry_options": {"huge": 5000.0}}
    write_version(tmp_path, "net", PICTURES, fields)
    assert export(tmp_path, "net", "--calibrate", photos(tmp_path / "photos", 15)) == 0
    assert "1 of 2 layers in 8 bits" in capsys.readouterr().out
    graph = onnx.load(tmp_path / "net" / "1-int8" / "model.onnx").graph
    made_by = {output: node.op_type for node in graph.node for output in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert [made_by.get(each.input[1]) for each in convolutions] == ["DequantizeLinear", None]


def test_int8_without_photos_says_why_and_what_to_do(classifier, capsys):
    assert export(classifier, "net") == 2
    told = capsys.readouterr().err
    assert "--int8 needs --calibrate FOLDER" in told
    assert "ranges of their inputs" in told


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--beside"], "must be a version of its own"),
        (["--min-agreement", "1.5"], "--min-agreement 1.5: for task classification"),
        (["--min-agreement", "nan"], "--min-agreement nan: for task classification"),
    ],
)
def test_options_that_cannot_be_honoured_are_refused(classifier, tmp_path, capsys, given, told):
    folder = photos(tmp_path / "photos", 10)
    assert export(classifier, "net", "--calibrate", folder, *given) == 2
    assert told in capsys.readouterr().err


def test_calibration_without_int8_is_refused(classifier, tmp_path, capsys):
    given = ["net", "--models", str(classifier), "--calibrate", str(tmp_path)]
    assert command.main(given) == 2
    assert "--calibrate needs --int8" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("count", "told"),
    [(0, "no images (.bmp, "), (LEAST_PHOTOS - 1, "has 9 images; calibration needs at least 10")],
)
def test_a_folder_with_too_few_photos_is_refused(classifier, tmp_path, capsys, count, told):
    folder = photos(tmp_path / "photos", count)
    (folder / "notes.txt").write_text("no photo")
    assert export(classifier, "net", "--calibrate", folder) == 2
    assert told in capsys.readouterr().err
    assert export(classifier, "net", "--calibrate", tmp_path / "none") == 2
    assert "none is missing" in capsys.readouterr().err


def test_photos_that_cannot_be_read_are_named_and_left_out(classifier, tmp_path, capsys):
    folder = photos(tmp_path / "photos", 12)
    (folder / "002.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    (folder / "004.png").write_bytes(b"")
    assert export(classifier, "net", "--calibrate", folder) == 0
    told = capsys.readouterr()
    assert "calibrated on 9 images, 1 held out, 2 skipped" in told.out
    for name in ("002.png", "004.png"):
        assert told.err.count(f"skipped {folder / name}: ") == 1
    (folder / "005.png").write_bytes(b"")
    assert export(classifier, "net", "--as", "2", "--calibrate", folder) == 2
    assert "has 9 images, and 3 that cannot be read" in capsys.readouterr().err


def test_photos_that_the_model_refuses_are_named_and_left_out(tmp_path, capsys):
    document = {"task": "classification", "model_class": "./model.py:Picky"}
    picky = """
from agewell.shared.errors import ParameterError
from agewell.workers.models.tasks.classification import Classifier

class Picky(Classifier):
    def preprocess(self, image, parameters):
        if image.shape[1] == 41:
            raise ParameterError("image", "41 px wide", "40 px")
        return super().preprocess(image, parameters)
"""
    size = {"height": 32, "width": 32}
    write_version(tmp_path, "net", CLASSIFIER + picky, {**document, "input": size})
    folder = photos(tmp_path / "photos", 15)
    assert export(tmp_path, "net", "--calibrate", folder, "--min-agreement", 0) == 0
    told = capsys.readouterr()
    assert "calibrated on 10 images, 3 held out, 2 skipped" in told.out
    assert told.err.count("skipped ") == 2


def test_photos_with_alpha_are_flattened_as_in_a_worker(classifier, tmp_path):
    picture = np.zeros((36, 40, 4), np.uint8)
    picture[:20] = (10, 20, 30, 255)
    folder = tmp_path / "photos"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), picture)
    opened = open_folder(folder, print, "#ff8000")
    [(image, _)] = opened.prepare(opened.files, lambda image: None)
    assert image[0, 0].tolist() == [10, 20, 30]
    assert image[30, 0].tolist() == [0, 0x80, 0xFF]  # BGR


def test_the_range_of_an_input_is_that_of_all_photos_that_are_not_held_out(
    classifier, tmp_path, monkeypatch
):
    monkeypatch.setattr(int8, "_RANGES_HELD", 4)
    folder = photos(tmp_path / "photos", 14)
    cv2.imwrite(str(folder / "000.png"), np.zeros((36, 40, 3), np.uint8))
    cv2.imwrite(str(folder / "014.png"), np.full((36, 40, 3), 255, np.uint8))  # held out
    given = ("--calibrate", folder, "--min-agreement", 0)
    assert export(classifier, "net", *given) == 0
    graph = onnx.load(classifier / "net" / "1-int8" / "model.onnx").graph
    constants = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    [quantised] = [node for node in graph.node if node.input[0] == graph.input[0].name]
    model = make_model(classifier / "net" / "1")
    kept = [path for at, path in enumerate(sorted(folder.iterdir()), 1) if at % 5]
    arrays = [model.preprocess(cv2.imread(str(path)), {})["image"] for path in kept]
    low, high = min(each.min() for each in arrays), max(each.max() for each in arrays)
    assert low == -2.0  # of the black photo
    assert constants[quantised.input[1]] == pytest.approx((high - low) / 255, rel=1e-5)


def test_ranges_are_merged_while_photos_are_read(classifier, tmp_path, monkeypatch, capsys):
    """Every number of photos works, a multiple of those that are merged at once too."""
    made = []
    for held in (64, 5, 10, 20):
        monkeypatch.setattr(int8, "_RANGES_HELD", held)
        given = ("--calibrate", photos(tmp_path / "photos", 25), "--min-agreement", 0)
        assert export(classifier, "net", "--as", f"1-{held}", *given) == 0
        assert "calibrated on 20 images" in capsys.readouterr().out
        graph = onnx.load(classifier / "net" / f"1-{held}" / "model.onnx").graph
        constants = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
        made.append({name: array.tolist() for name, array in constants.items()})
    assert made[1:] == made[:1] * 3


def test_photos_are_read_one_at_a_time(classifier, tmp_path):
    folder = open_folder(photos(tmp_path / "photos", 20), lambda line: None)
    model = make_model(classifier / "net" / "1")
    batches = gate.inputs(model, folder)
    assert next(batches)["image"].shape == (1, 3, 32, 32)
    for path in folder.files[1:]:
        path.unlink()  # none of them was read ahead
    assert list(batches) == []
    assert len(folder.skipped) == 15


def test_the_8_bit_version_is_checked_against_itself_and_serves(classifier, tmp_path):
    assert export(classifier, "net", "--calibrate", photos(tmp_path / "photos", 10)) == 0
    directory = classifier / "net" / "1-int8"
    spec = read_spec(directory)
    assert (spec.kind, spec.variant_of) == ("onnx", "1")
    load_model(directory, CPU)
    with np.load(directory / "check.npz") as kept:
        arrays = dict(kept)
    arrays["out:output"] = arrays["out:output"] + 0.2 * np.abs(arrays["out:output"]).max()
    np.savez(directory / "check.npz", **arrays)
    with pytest.raises(Exception, match=r"check\.npz: out:output differs"):
        load_model(directory, CPU)


@pytest.mark.parametrize(
    ("machine", "flags", "expected"),
    [
        ("x86_64", "fpu sse2 avx2", True),
        ("x86_64", "fpu avx2 avx512f avx512bw", True),
        ("x86_64", "fpu avx2 avx512f avx512_vnni", False),
        ("x86_64", "fpu avx2 avx_vnni", False),
        ("aarch64", "asimd", False),
    ],
)
def test_processors_without_vnni_get_weights_of_7_bits(tmp_path, machine, flags, expected):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor : 0\nflags : {flags}\n")
    assert int8.saturates(machine, cpuinfo) is expected


def test_other_tasks_are_measured_by_the_noise_of_their_outputs(classifier):
    model = make_model(classifier / "net" / "1")
    agreement = agreement_for("another")
    rng = np.random.default_rng(1)
    boxes, scores = rng.normal(size=(20, 4)), rng.normal(size=20)
    noisy = {"boxes": boxes + 0.01 * rng.normal(size=boxes.shape), "scores": scores}
    image = np.zeros((8, 8, 3), np.uint8)
    agreement.add(model, image, {"boxes": boxes, "scores": scores}, noisy)
    signal = (boxes**2).sum() + (scores**2).sum()
    expected = 10 * np.log10(signal / ((noisy["boxes"] - boxes) ** 2).sum())
    assert agreement.value() == pytest.approx(expected)
    assert agreement.unit == "dB"
