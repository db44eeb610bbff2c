from pathlib import Path

import pytest
import yaml

from agewell.shared.errors import ModelError
from agewell.workers.models import moved_code
from agewell.workers.models.spec import ModelSpec, read_spec
from agewell.workers.models.user_code import load_code

GOOD = {"task": "classification", "kind": "onnx", "weights": "model.onnx"}


def written(folder: Path, document: object, name: str = "cats", version: str = "1") -> Path:
    directory = folder / name / version
    directory.mkdir(parents=True)
    (directory / "model.yaml").write_text(yaml.safe_dump(document))
    return directory


def test_a_version_is_named_by_its_directory(tmp_path):
    assert read_spec(written(tmp_path, GOOD)).id == "cats/1"


def test_a_version_that_yaml_reads_as_a_number_is_still_a_version(tmp_path):
    assert read_spec(written(tmp_path, GOOD | {"version": 2.5}, version="2.5")).version == "2.5"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"name": "dogs"}, "dogs/1, in the directory cats/1"),
        ({"weights": "model.pkl"}, "end with .onnx, never a pickle"),
        ({"weights": "../model.onnx"}, "weights"),
        ({"kind": "torch", "weights": None}, "needs an entry"),
        ({"kind": "pickle"}, "kind"),
        ({"batch_buckets": [1, 2], "max_batch_size": 4}, "below max_batch_size"),
        ({"input": {"height": 8}}, "height and width go together"),
        ({"input": {"mean": [0.5, 0.5]}}, "2 values for 3 channels"),
        ({"input": {"resize": [5]}}, "shorter side in px, [height, width], or false, found [5]"),
        (
            {"task": "image", "input": {"resize": 9, "height": 8, "width": 8}},
            "leave out input.resize",
        ),
        ({"max_wait_ms": -1}, "max_wait_ms"),
        ({"colour": "red"}, "colour"),
        ({"kind": "torch", "weights": None, "entry": "os; import sys"}, "entry"),
        ({"kind": "torch", "weights": None, "entry": "../x.py:make"}, "entry"),
    ],
)
def test_a_bad_value_is_refused_by_name(tmp_path, change, reason):
    with pytest.raises(ModelError, match="model cats/1") as caught:
        read_spec(written(tmp_path, GOOD | change))
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("field", "old", "new"),
    [
        (
            "entry",
            "workers.models.nets.colorizer:Colorizer",
            "agewell.workers.models.library.colorizer.network:Colorizer",
        ),
        (
            "model_class",
            "workers.models.colorizer:ColorModel",
            "agewell.workers.models.library.colorizer.model:ColorModel",
        ),
        (
            "entry",
            "workers.models.nets.digits_cnn:DigitsCnn",
            "agewell.workers.models.library.digits.network:DigitsCnn",
        ),
        ("entry", "workers.models.nets.mine:Mine", "agewell.workers.models.library"),
    ],
)
def test_code_named_by_its_place_in_an_earlier_version_is_refused_with_the_new_one(
    tmp_path, field, old, new
):
    document = GOOD | {"kind": "torch", "weights": None, "entry": "./model.py:make"}
    with pytest.raises(ModelError) as caught:
        read_spec(written(tmp_path, document | {field: old}))
    assert f"model.yaml: {field}: " in str(caught.value)
    assert new in str(caught.value)
    assert f"found '{old}'" in str(caught.value)


def test_every_new_place_of_moved_code_can_be_imported(tmp_path):
    spec = read_spec(written(tmp_path, GOOD))
    for place in moved_code._MOVED.values():
        assert isinstance(load_code(place, spec, tmp_path), type)


@pytest.mark.parametrize("text", ["", "[1, 2]", "kind: [", "\x00"])
def test_file_that_is_no_mapping_is_refused(tmp_path, text):
    directory = written(tmp_path, GOOD)
    (directory / "model.yaml").write_text(text)
    with pytest.raises(ModelError, match=r"model\.yaml"):
        read_spec(directory)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ModelError, match="No such file"):
        read_spec(tmp_path / "cats" / "1")


def test_buckets_are_given_or_powers_of_two():
    plain = ModelSpec(name="m", version="1", max_batch_size=12, **GOOD)
    assert (plain.buckets, plain.warmup_sizes, plain.bucket(5)) == ((), (1, 12), 5)
    compiled = plain.model_copy(update={"compile": True})
    assert compiled.buckets == compiled.warmup_sizes == (1, 2, 4, 8, 12)
    assert [compiled.bucket(n) for n in (1, 3, 8, 9, 12)] == [1, 4, 8, 12, 12]
    given = plain.model_copy(update={"batch_buckets": (16, 4)})
    assert [given.bucket(n) for n in (1, 4, 5, 12)] == [4, 4, 16, 16]
