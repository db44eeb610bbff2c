"""A field of model.yaml without an effect is refused, with what was found and what to do."""

import pytest
import yaml

from agewell.shared.errors import ModelError
from agewell.workers.models.catalogue import Catalogue
from agewell.workers.models.spec import read_spec

WEIGHTS = {"exported": "m.pt2", "onnx": "m.onnx", "huggingface": "model.safetensors"}
OPTIONS = {
    "dtype": "bfloat16",
    "weights_dtype": "float16",
    "fold_batch_norm": True,
    "compile": True,
    "channels_last": True,
    "cuda_graphs": True,
    "entry": "torch.nn:Conv2d",
    "entry_options": {"in_channels": 3},
    "onnx": "other.onnx",
}


def read(folder, **document):
    directory = folder / "m" / "1"
    directory.mkdir(parents=True)
    document = {"task": "classification", "input": {"height": 64, "width": 64}} | document
    (directory / "model.yaml").write_text(yaml.safe_dump(document))
    return read_spec(directory)


def refused(folder, **document):
    with pytest.raises(ModelError, match=r"model m/1: .*model\.yaml: ") as caught:
        read(folder, **document)
    # The catalogue names the fault without loading the version.
    [found] = Catalogue(folder).versions()
    assert found.problem == caught.value.reason
    return caught.value.reason.partition("model.yaml: ")[2]


@pytest.mark.parametrize("name", OPTIONS)
def test_an_onnx_graph_refuses_every_option_of_torch(tmp_path, name):
    reason = refused(tmp_path, kind="onnx", weights="m.onnx", **{name: OPTIONS[name]})
    assert reason.startswith(f"{name}: {OPTIONS[name]!r} has no effect for kind onnx, as ")
    assert reason.endswith("; remove it")


@pytest.mark.parametrize("kind", ["exported", "huggingface"])
@pytest.mark.parametrize("name", ["entry", "entry_options", "onnx"])
def test_other_kinds_refuse_the_code_and_the_graph_of_kind_torch(tmp_path, kind, name):
    reason = refused(tmp_path, kind=kind, weights=WEIGHTS[kind], **{name: OPTIONS[name]})
    assert reason.startswith(f"{name}: ")
    assert f"for kind {kind}" in reason


@pytest.mark.parametrize("kind", ["exported", "huggingface"])
@pytest.mark.parametrize(
    "name", ["dtype", "weights_dtype", "compile", "channels_last", "cuda_graphs"]
)
def test_all_kinds_of_torch_take_the_options_of_torch(tmp_path, kind, name):
    given = {
        "height": 8,
        "width": 8,
        "mean": [0],
        "std": [1],
    }  # no preprocessor_config.json is needed
    fields = {"kind": kind, "weights": WEIGHTS[kind], "input": given, name: OPTIONS[name]}
    spec = read(tmp_path, **fields)
    assert getattr(spec, name) == OPTIONS[name]


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (
            {"kind": "torch", "entry": "a:b", "provider": "cuda"},
            "provider: 'cuda' has no effect for kind torch, as the field chooses what runs kind "
            "onnx; remove it",
        ),
        (
            {"kind": "torch", "entry": "a:b", "sha256": "0" * 64},
            f"sha256: '{'0' * 64}' has no effect without weights: name their file, or remove it",
        ),
        (
            {"kind": "torch", "entry": "a:b", "options": {"x": 1}},
            "options: {'x': 1} has no effect without a model_class that reads them: name one, or "
            "remove them",
        ),
        (
            {"kind": "huggingface", "weights": "pets.safetensors"},
            "weights: 'pets.safetensors' has no effect for kind huggingface, which loads "
            "model.safetensors; name that file, or remove the field",
        ),
        (
            {"kind": "torch", "entry": "a:b", "task": "image", "labels": ["cat"]},
            "labels: ('cat',) has no effect for task image, which returns a picture; remove them",
        ),
        (
            {"kind": "torch", "entry": "a:b", "input": {"fit": "crop"}},
            "input.fit: 'crop' has no effect without height and width: give both, or remove it",
        ),
        (
            {"kind": "torch", "entry": "a:b", "input": {"height": 32, "width": 20, "multiple": 8}},
            "input.multiple: 8 has no effect on the fixed size 32 x 20; change the size, or "
            "remove it",
        ),
        (
            {"kind": "torch", "entry": "a:b", "input": {"height": 9, "width": 9, "max_side": 8}},
            "input.max_side: 8 has no effect on the fixed size 9 x 9; change the size, or remove "
            "it",
        ),
        (
            {"kind": "torch", "entry": "a:b", "input": {"height": 9, "width": 9, "pad": [0]}},
            "input.pad: (0,) has no effect without fit: letterbox; set that, or remove it",
        ),
    ],
)
def test_a_field_without_the_field_that_it_needs_is_refused(tmp_path, document, reason):
    assert refused(tmp_path, **document) == reason


@pytest.mark.parametrize(
    "document",
    [
        {"kind": "onnx", "weights": "m.onnx", "dtype": "float32", "compile": False, "entry": None},
        {"kind": "onnx", "weights": "m.onnx", "provider": "openvino", "cuda_graphs": False},
        {"kind": "onnx", "weights": "m.onnx", "model_class": "a:b", "options": {"x": 1}},
        {
            "kind": "huggingface",
            "weights": "model.safetensors",
            "sha256": "0" * 64,
            "input": {"height": 8, "width": 8, "mean": [0], "std": [1]},
        },
        {"kind": "torch", "model_class": "a:b", "entry_options": {"x": 1}, "labels": ["a"]},
        {"kind": "torch", "entry": "a:b", "input": {"height": 640, "width": 640, "multiple": 32}},
    ],
)
def test_a_default_value_or_one_that_fits_is_no_fault(tmp_path, document):
    assert read(tmp_path, **document).id == "m/1"
