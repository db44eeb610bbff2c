"""A version that cannot be loaded says why wherever it is named, and is never called unknown."""

import re
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch

from agewell.shared.errors import ModelError, UnknownModelError
from agewell.workers.models.catalogue import Catalogue
from agewell.workers.models.registry import Registry

GOOD = "task: image\nkind: torch\nentry: ./model.py:make\nweights: w.safetensors\n"


def _yaml(text: str):
    return lambda directory: (directory / "model.yaml").write_text(text)


def _truncated(directory: Path) -> None:
    path = directory / "w.safetensors"
    path.write_bytes(path.read_bytes()[:-5])


BREAK = {
    "no yaml at all": (_yaml("\t:"), "model.yaml"),
    "a list": (_yaml("- 1\n"), "must be a mapping"),
    "an unknown field": (_yaml(GOOD + "colour: red\n"), "colour: is not a known name"),
    "an unknown task": (_yaml(GOOD.replace("image", "dance")), "task: must be"),
    "a pickle": (_yaml(GOOD.replace("w.safetensors", "w.pt")), "never a pickle"),
    "no weights": (lambda d: (d / "w.safetensors").unlink(), "no file"),
    "short weights": (_truncated, "is damaged"),
    "empty weights": (lambda d: (d / "w.safetensors").write_bytes(b""), "is damaged"),
    "a Git LFS pointer": (
        lambda d: (d / "w.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n"),
        "git lfs pull",
    ),
    "other weights": (_yaml(GOOD + f"sha256: '{'0' * 64}'\n"), "SHA-256"),
    "no code": (lambda d: (d / "model.py").unlink(), "no file"),
    "another model's": (_yaml(GOOD + "name: cats\n"), "is of cats/1, in the directory pets/1"),
}


@pytest.fixture
def version(tmp_path: Path) -> Path:
    directory = tmp_path / "pets" / "1"
    directory.mkdir(parents=True)
    (directory / "model.yaml").write_text(GOOD)
    (directory / "model.py").write_text("import torch\nmake = lambda: torch.nn.Linear(2, 2)\n")
    safetensors.torch.save_file(
        torch.nn.Linear(2, 2).state_dict(), str(directory / "w.safetensors")
    )
    return directory


def test_a_sound_version_has_no_problem(version: Path):
    [found] = Catalogue(version.parents[1]).versions()
    assert found.problem == ""


@pytest.mark.parametrize(("spoil", "why"), BREAK.values(), ids=BREAK)
def test_broken_version_is_listed_with_its_problem(version: Path, spoil, why: str):
    catalogue = Catalogue(version.parents[1])
    assert catalogue.versions()[0].problem == ""  # it was sound when it was first looked at
    spoil(version)
    [found] = catalogue.versions()
    assert why in found.problem
    assert (found.name, found.version) == ("pets", "1")


@pytest.mark.parametrize(("spoil", "why"), BREAK.values(), ids=BREAK)
@pytest.mark.parametrize("named", ["1", None])
def test_a_command_that_names_a_broken_version_says_why(version: Path, spoil, why, named):
    spoil(version)

    def load(directory: Path):
        from agewell.workers.models.load import load_model

        return load_model(directory, torch.device("cpu"))

    registry = Registry(Catalogue(version.parents[1]), load, 2**30)
    with pytest.raises(ModelError) as caught:
        registry.load("pets", named)
    assert str(caught.value).startswith("model pets/1: ")
    assert (
        re.search(why, str(caught.value))
        or "w.safetensors" in str(caught.value)
        or ("model." in str(caught.value))
    )


def test_a_version_that_failed_to_load_is_remembered_with_the_reason(version: Path):
    def load(directory: Path):
        raise RuntimeError("out of luck")

    registry = Registry(Catalogue(version.parents[1]), load, 2**30)
    with pytest.raises(ModelError, match="out of luck"):
        registry.load("pets", "1")
    assert registry.failure("pets", "1") == "RuntimeError: out of luck"


def test_directory_without_model_yaml_is_named(version: Path):
    (version.parent / "2").mkdir()
    with pytest.raises(ModelError, match=r"model pets/2: there is no model\.yaml in "):
        Catalogue(version.parents[1]).directory("pets", "2")


def test_an_unknown_version_is_told_which_ones_are_broken(version: Path):
    (version / "model.yaml").write_text("[]")
    with pytest.raises(
        UnknownModelError, match=r"no model pets/7; there are: pets/1 \(broken: .* mapping"
    ):
        Catalogue(version.parents[1]).directory("pets", "7")


ONNX = "task: image\nkind: onnx\nweights: m.onnx\n"


def add_versions(root: Path, documents: dict[str, str]) -> None:
    for name, text in documents.items():
        (root / "pets" / name).mkdir(parents=True)
        (root / "pets" / name / "model.yaml").write_text(text)


def test_export_takes_the_highest_torch_version(version: Path):
    root = version.parents[1]
    add_versions(root, {"1-onnx": ONNX, "1-int8": ONNX, "9": "[]"})
    assert Catalogue(root).latest_of_torch("pets") == "1"
    shutil.rmtree(version)
    with pytest.raises(ModelError, match=r"pets/9: .* must be a mapping"):
        Catalogue(root).latest_of_torch("pets")
    (root / "pets" / "9" / "model.yaml").write_text(ONNX)
    (root / "pets" / "9" / "m.onnx").write_bytes(b"graph")
    with pytest.raises(ModelError, match="is of kind onnx, which torch does not run"):
        Catalogue(root).latest_of_torch("pets")
    with pytest.raises(UnknownModelError):
        Catalogue(root).latest_of_torch("nosuch")


@pytest.mark.parametrize("name", ["1-onnx", "1-int8", "2-onnx", "v3", "latest", "3rc", "3-old"])
def test_only_a_plain_number_serves_unasked(version: Path, name: str):
    root = version.parents[1]
    add_versions(root, {name: GOOD})
    shutil.copy(version / "w.safetensors", root / "pets" / name)
    shutil.copy(version / "model.py", root / "pets" / name)
    assert Catalogue(root).latest("pets") == "1"
    shutil.rmtree(version)
    with pytest.raises(ModelError, match=f"serves only if it is activated.*activate pets {name}`"):
        Catalogue(root).latest("pets")


def test_an_export_named_by_a_number_does_not_serve_unasked(version: Path):
    root = version.parents[1]
    shutil.copytree(version, root / "pets" / "2")
    assert Catalogue(root).latest("pets") == "2"
    (root / "pets" / "2" / "model.yaml").write_text(GOOD + "variant_of: 1\n")
    assert Catalogue(root).latest("pets") == "1"
    assert Catalogue(root).latest_of_torch("pets") == "1"


@pytest.mark.parametrize("name", ["1.2", "10", "002"])
def test_the_highest_number_serves(version: Path, name: str):
    shutil.copytree(version, version.parent / name)
    shutil.copytree(version, version.parent / "0.9")
    assert Catalogue(version.parents[1]).latest("pets") == name


def test_versions_of_several_directories_are_one_catalogue(version: Path, tmp_path: Path):
    other = tmp_path / "exports"
    shutil.copytree(version, other / "pets" / "1-onnx")
    shutil.copytree(version, other / "pets" / "1")
    catalogue = Catalogue(version.parents[1], other, tmp_path / "missing")
    assert [each.version for each in catalogue.versions()] == ["1", "1-onnx"]
    assert catalogue.directory("pets", "1") == version
    assert catalogue.directory("pets", "1-onnx") == other / "pets" / "1-onnx"
