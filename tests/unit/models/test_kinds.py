"""Every kind of network, from a directory to a prediction, against known numbers."""

import io
import pickle
import shutil
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch

from agewell.shared.errors import ModelError, ParameterError
from agewell.workers.models.arrays import TAP, DeviceLostError
from agewell.workers.models.load import load_model
from tests.support.model_files import (
    SIDE,
    exported_program,
    hugging_face,
    marking,
    onnx_classifier,
    version_directory,
)
from tests.support.programs import missing

CPU = torch.device("cpu")


def gray(value, side=SIDE):
    return np.full((side, side, 3), value, np.uint8)


def predict(model, image, parameters=None):
    item = model.preprocess(image, parameters or {})
    outputs = model.forward({name: array[None] for name, array in item.items()})
    row = {name: array[0] for name, array in outputs.items()}
    return model.postprocess(row, image, parameters or {})


def test_a_torch_module_beside_its_model_yaml_runs(tmp_path):
    model = load_model(marking(tmp_path, "mark", "1", mark=77), CPU)
    made = predict(model, gray(5, side=20)).image
    assert made.shape == (20, 20, 3)
    assert np.unique(made).tolist() == [77]


def test_two_versions_with_files_of_one_name_share_no_code(tmp_path):
    first = load_model(marking(tmp_path, "mark", "1", mark=1), CPU)
    second = marking(tmp_path, "mark", "2", mark=2)
    (second / "model.py").write_text(
        "import torch\ndef make(mark):\n    return torch.nn.Identity()\n"
    )
    assert predict(load_model(second, CPU), gray(9)).image[0, 0, 0] == 9
    assert predict(first, gray(9)).image[0, 0, 0] == 1


def test_weights_come_from_safetensors_and_are_checked_by_their_hash(tmp_path):
    directory = version_directory(
        tmp_path,
        "linear",
        "1",
        task="image",
        kind="torch",
        entry="torch.nn:Conv2d",
        entry_options={"in_channels": 3, "out_channels": 3, "kernel_size": 1, "bias": False},
        weights="w.safetensors",
    )
    with pytest.raises(ModelError, match=r"no file .*w\.safetensors"):
        load_model(directory, CPU)
    # Swaps red and blue, and halves green.
    weight = torch.zeros(3, 3, 1, 1)
    weight[0, 2], weight[1, 1], weight[2, 0] = 1, 0.5, 1
    safetensors.torch.save_file({"weight": weight}, directory / "w.safetensors")
    image = np.array([[[10, 20, 30]] * SIDE] * SIDE, np.uint8)
    assert predict(load_model(directory, CPU), image).image[0, 0].tolist() == [30, 10, 10]

    yaml = directory / "model.yaml"
    yaml.write_text(yaml.read_text() + f"sha256: {'f' * 64}\n")
    with pytest.raises(ModelError, match=r"SHA-256 of w\.safetensors"):
        load_model(directory, CPU)
    (directory / "w.safetensors").write_bytes(pickle.dumps({"weight": 1}))
    yaml.write_text(yaml.read_text().replace(f"sha256: {'f' * 64}\n", ""))
    with pytest.raises(ModelError, match=r"w\.safetensors: "):
        load_model(directory, CPU)
    safetensors.torch.save_file({"other": weight}, directory / "w.safetensors")
    with pytest.raises(ModelError, match="Missing key"):
        load_model(directory, CPU)


def test_an_onnx_graph_classifies(tmp_path):
    model = load_model(onnx_classifier(tmp_path), CPU)
    bright, dark = predict(model, gray(204)), predict(model, gray(51))
    # Logits are 8 (mean - 0.5) and its negative; the mean of 204 is 0.8.
    probability = 1 / (1 + np.exp(-2 * 8 * 0.3))
    assert [each["label"] for each in bright.values["classes"]] == ["bright", "dark"]
    assert bright.values["classes"][0]["probability"] == pytest.approx(probability, abs=1e-5)
    assert dark.values["classes"][0]["label"] == "dark"
    assert [len(predict(model, gray(9), {"top": n}).values["classes"]) for n in (1, 2)] == [1, 2]


def test_a_damaged_onnx_file_is_refused(tmp_path):
    directory = onnx_classifier(tmp_path)
    (directory / "light.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match=r"model light/1: light\.onnx"):
        load_model(directory, CPU)


def test_an_exported_program_runs_at_any_batch_size(tmp_path):
    model = load_model(exported_program(tmp_path), CPU)
    assert predict(model, gray(60)).image[0, 0].tolist() == [120, 120, 120]
    batch = np.random.default_rng(1).random((5, 3, SIDE, SIDE), np.float32)
    assert np.array_equal(next(iter(model.forward({"image": batch}).values())), 2 * batch)


class Evil:
    def __reduce__(self):
        return (eval, ("exec('raise SystemExit(66)')",))


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ("data/sample_inputs/model.pt", "Weights only load failed"),
        ("data/constants/custom_obj_0", "as a pickle"),
        ("data/constants/opaque_obj_0", "as a pickle"),
        ("data/aotinductor/model/a.so", "code"),
    ],
)
def test_an_archive_with_a_pickle_or_code_in_it_is_refused_and_never_run(tmp_path, part, reason):
    directory = exported_program(tmp_path)
    path = directory / "twice.pt2"
    evil = io.BytesIO()
    torch.save(Evil(), evil)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    top = next(iter(parts)).partition("/")[0]
    parts[f"{top}/{part}"] = evil.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    with pytest.raises(ModelError, match=reason):
        load_model(directory, CPU)


def test_a_hugging_face_directory_classifies_as_transformers_itself_does(tmp_path):
    import transformers  # takes most of a second

    directory = hugging_face(tmp_path)
    model = load_model(directory, CPU)
    image = np.random.default_rng(2).integers(0, 256, (32, 32, 3), np.uint8)
    found = predict(model, image).values["classes"]
    reference = transformers.AutoModelForImageClassification.from_pretrained(directory)
    pixels = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        expected = reference(pixels).logits.softmax(1)[0]
    order = expected.argsort(descending=True)
    assert [each["label"] for each in found] == [["cat", "dog", "bird"][n] for n in order]
    assert [each["probability"] for each in found] == pytest.approx(expected[order].tolist(), 1e-4)


def test_a_hugging_face_directory_of_pickles_is_refused(tmp_path):
    directory = hugging_face(tmp_path)
    state = safetensors.torch.load_file(directory / "model.safetensors")
    (directory / "model.safetensors").unlink()
    torch.save(state, directory / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"model resnet/1: OSError"):
        load_model(directory, CPU)


def test_a_tap_returns_the_intermediate_that_its_name_says(tmp_path):
    model = load_model(
        marking(tmp_path, "mark", "1", mark=3, entry_options={"mark": 3, "width": 6}), CPU
    )
    assert model.tap_points() == ["first"]
    batch = np.random.default_rng(3).random((2, 3, SIDE, SIDE), np.float32)
    found = model.forward({"image": batch}, taps=["first"])
    expected = model.network._module.first(torch.from_numpy(batch)).detach().numpy()
    assert np.allclose(found[TAP + "first"], expected, atol=1e-6)
    assert model.forward({"image": batch}).keys() == found.keys() - {TAP + "first"}


def test_an_error_of_the_device_is_told_from_one_of_an_item(tmp_path):
    model = load_model(marking(tmp_path, "mark", "1", mark=3), CPU)

    def fail(module, inputs):
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    model.network._module.register_forward_pre_hook(fail)
    with pytest.raises(DeviceLostError, match="an illegal memory access"):
        predict(model, gray(5))


COMPILER = pytest.mark.skipif(shutil.which("g++") is None, reason=missing("g++"))


@pytest.mark.parametrize(
    "options",
    [
        {"channels_last": True},
        {"dtype": "bfloat16"},
        {"batch_buckets": [4, 16]},
        pytest.param({"compile": True, "max_batch_size": 1}, marks=COMPILER),
    ],
)
def test_the_ways_to_be_faster_change_no_picture(tmp_path, options):
    model = load_model(marking(tmp_path, "mark", "1", mark=100, **options), CPU)
    assert abs(int(predict(model, gray(5)).image[0, 0, 0]) - 100) <= 1


def test_a_version_whose_warm_up_gives_no_numbers_is_refused(tmp_path):
    directory = marking(tmp_path, "mark", "1", mark=0)
    (directory / "model.py").write_text(
        "import torch\n"
        "class Nan(torch.nn.Module):\n"
        "    def forward(self, image):\n"
        "        return image / 0 * 0\n"
        "def make(mark):\n"
        "    return Nan()\n"
    )
    with pytest.raises(ModelError, match="not finite"):
        load_model(directory, CPU)


def test_version_that_fails_its_check_is_refused(tmp_path):
    directory = exported_program(tmp_path)
    given = np.random.default_rng(4).random((3, 3, SIDE, SIDE), np.float32)
    np.savez(directory / "check.npz", **{"in:image": given, "out:output": 2 * given})
    load_model(directory, CPU)
    np.savez(directory / "check.npz", **{"in:image": given, "out:output": 2 * given + 0.01})
    with pytest.raises(ModelError, match=r"out:output differs by 0\.01"):
        load_model(directory, CPU)


@pytest.mark.parametrize("parameters", [{"top": 0}, {"top": "many"}, {"palette": []}])
def test_a_parameter_that_the_model_does_not_take_is_refused(tmp_path, parameters):
    model = load_model(onnx_classifier(tmp_path), CPU)
    with pytest.raises(ParameterError):
        model.check_parameters(parameters)


@pytest.mark.parametrize("entry", ["nosuchmodule:make", "./model.py:nosuch", "json:loads"])
def test_an_entry_that_makes_no_module_is_refused(tmp_path, entry):
    with pytest.raises(ModelError, match="model mark/1"):
        load_model(marking(tmp_path, "mark", "1", mark=3, entry=entry), CPU)
