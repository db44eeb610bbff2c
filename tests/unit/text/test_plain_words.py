"""Whatever is wrong with a document or a setting, people read our words and never pydantic's."""

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from agewell.producer.receiving.collect import read_outcome
from agewell.shared.celery.app import make_app
from agewell.shared.errors import BadJobError, ModelError, SettingsError
from agewell.shared.protocol import messages
from agewell.shared.protocol.built_in_jobs import HsvItem, HsvJob
from agewell.shared.protocol.messages import MAX_ITEMS, ErrorInfo, ImageRef, Output
from agewell.shared.setting_names import PREFIX
from agewell.shared.settings import Settings
from agewell.shared.text import problems
from agewell.workers.jobs.job_classes import parse_job
from agewell.workers.models.input_spec import InputSpec
from agewell.workers.models.spec import ModelSpec, read_spec

PYDANTICS = re.compile(
    r"Input should|Field required|Extra inputs|Value error|Assertion failed|validation error|"
    r"pydantic|String should|List should|Tuple should|Dictionary should|valid (?:string|integer|"
    r"number|boolean|tuple|list|dictionary)|Unable to|literal\[|\.str\b|\.int\b|\.bool\b|"
    r"function-|constrained-|tagged-union"
)
IMAGE = {"uri": "redis:x", "sha256": "0" * 64, "size_bytes": 9, "media_type": "image/png"}
JOBS: dict[str, dict[str, Any]] = {
    "hsv": {
        "schema_version": 1,
        "op": "hsv",
        "items": [{"image": IMAGE | {"name": "a.png"}}],
        "full_range": True,
        "output": {"format": "jpeg", "quality": 90},
    },
    "alpha_blend": {
        "op": "alpha_blend",
        "items": [{"foreground": IMAGE, "background": IMAGE, "mask": IMAGE}],
        "alpha": 0.5,
        "offset": [1, 2],
    },
    "poisson_blend": {
        "op": "poisson_blend",
        "items": [{"source": IMAGE, "mask": IMAGE, "destination": IMAGE}],
        "gradient": "max",
        "mask_on_source": [0, 0],
        "mask_on_destination": [0, 0],
    },
    "infer": {
        "op": "infer",
        "items": [{"image": IMAGE}],
        "model": "digits",
        "version": "1",
        "palette": ["#8fb3d9"],
        "reference": IMAGE,
        "tap": "a.b",
        "parameters": {"top": 3},
    },
}
ODD: list[Any] = [None, True, 0, -1, 2.5, 10**30, float("nan"), "", "x", "ü\x1b[2J", "a" * 5000,
                  [], [1], [None] * 65, {}, {"x": 1}, {1: 2}, b"\xff"]  # fmt: skip


def _places(document: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    parts = document.items() if isinstance(document, dict) else enumerate(document)
    for name, value in parts:
        if isinstance(value, dict | list):
            yield from _places(value, (*place, name))
        else:
            yield (*place, name)


def _changed(document: Any, place: tuple[Any, ...], change: Any) -> Any:
    if not place:
        return change(document)
    made = copy.deepcopy(document)
    outer = made
    for part in place[:-1]:
        outer = outer[part]
    outer[place[-1]] = change(outer[place[-1]])
    return made


def _grown(value: Any) -> Any:
    if isinstance(value, dict):
        return value | {"colour\x1b": 1}
    return value * 99 if isinstance(value, list) else value


def _mutants(document: Any) -> Iterator[Any]:
    for place in _places(document):
        for odd in ODD:
            yield _changed(document, place, lambda _, odd=odd: odd)
        yield _changed(document, place, _grown)
        for name in document if not place and isinstance(document, dict) else ():
            yield {each: value for each, value in document.items() if each != name}


@pytest.mark.parametrize("op", JOBS)
def test_a_malformed_job_is_refused_in_plain_words(op: str):
    refused = 0
    for document in _mutants(JOBS[op]):
        try:
            parse_job(document)
        except BadJobError as error:
            refused += 1
            text = str(error)
            assert PYDANTICS.search(text) is None, text
            assert problems._UNKNOWN_KIND not in text, text
            assert text.isprintable()
            assert len(text) < 600
    assert refused > 150


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"parameters": {"top": [1]}},
         "parameters.top: must be text or a whole number or a number or true or false, "
         "found [1]"),
        ({"items": [{"image": IMAGE | {"sha256": "A"}}]},
         "items.0.image.sha256: must be 64 hexadecimal digits in lower case, found 'A'"),
        ({"palette": ["red"]}, "palette.0: must be a colour such as #8fb3d9, found 'red'"),
        ({"model": "a/b"}, "model: must be 1 to 64 letters, digits, '_', '.' or '-', with a "
         "letter or a digit first, found 'a/b'"),
        ({"items": [{"image": IMAGE}] * (MAX_ITEMS + 1)},
         "items: must have a length of at most 64, not 65"),
    ],
)  # fmt: skip
def test_bad_field_is_named_with_its_value_and_the_allowed_ones(change: Any, line: str):
    with pytest.raises(BadJobError, match=re.escape(line)):
        parse_job(JOBS["infer"] | change)


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: HsvJob(items=()), "items: must have a length of at least 1"),
        (lambda: Output(quality=200), "quality: must be at most 100, found 200"),
        (lambda: Output(format="png", quality=5), "png has no quality"),
        (lambda: ImageRef(**IMAGE | {"name": ""}), "name: must have a length of at least 1"),
        (lambda: HsvItem(image=3), "image: must be an object"),
        (lambda: HsvItem(), "image: is missing"),
        (lambda: HsvItem(image=ImageRef(**IMAGE), colour=1), "colour: is not a known name"),
    ],
)
def test_a_program_that_makes_a_bad_job_reads_plain_words(make: Any, line: str):
    with pytest.raises(BadJobError) as caught:
        make()
    assert line in str(caught.value)
    assert PYDANTICS.search(str(caught.value)) is None


SPEC = {
    "task": "image",
    "kind": "torch",
    "entry": "a.b:c",
    "weights": "w.safetensors",
    "labels": ["cat"],
    "input": {"height": 8, "width": 8, "mean": [0.5], "std": [0.5], "colours": "rgb"},
    "max_batch_size": 4,
    "max_wait_ms": 5,
    "batch_buckets": [1, 4],
    "dtype": "float32",
    "sha256": "0" * 64,
    "compile": False,
}


def test_a_bad_model_yaml_is_refused_in_plain_words(tmp_path):
    directory = tmp_path / "pets" / "1"
    directory.mkdir(parents=True)
    refused = 0
    for document in _mutants(SPEC):
        try:
            text = yaml.safe_dump(document)
        except yaml.YAMLError:
            continue
        (directory / "model.yaml").write_text(text)
        try:
            read_spec(directory)
        except ModelError as error:
            refused += 1
            assert PYDANTICS.search(error.reason) is None, error.reason
            assert problems._UNKNOWN_KIND not in error.reason, error.reason
    assert refused > 150


@pytest.mark.parametrize("name", Settings.model_fields)
def test_a_bad_setting_is_refused_in_plain_words(monkeypatch, name: str):
    for text in ("", "x", "-1", "nan", "1e999", "{", "[]", "9" * 5000, "ü", "{}", '{"cv": "x"}'):
        monkeypatch.setenv(PREFIX + name.upper(), text)
        try:
            Settings.load()
        except SettingsError as error:
            assert PYDANTICS.search(str(error)) is None, str(error)
            assert error.setting == PREFIX + name.upper()


def test_foreign_result_is_reported_as_foreign():
    backend = make_app(Settings(redis_url="redis://127.0.0.1:1")).backend
    meta = {"status": "SUCCESS", "result": {"op": "hsv", "items": 3}, "task_id": "a"}
    outcome = read_outcome(backend, "a", json.dumps(meta))
    assert outcome is not None
    [error] = outcome.errors
    assert error.message == "not a result of agewell: items: must be a list, found 3"


def test_errors_of_items_that_are_none_of_ours_are_kept_as_such():
    backend = make_app(Settings(redis_url="redis://127.0.0.1:1")).backend
    result = {
        "exc_type": "AllItemsFailedError",
        "exc_message": [[{"message": "no code"}, ErrorInfo(code="X", message="y").model_dump()]],
        "exc_module": "agewell.shared.errors",
    }
    meta = {"status": "FAILURE", "result": result, "task_id": "a", "traceback": None}
    outcome = read_outcome(backend, "a", json.dumps(meta))
    assert outcome is not None
    assert [each.message for each in outcome.errors] == [
        "not an error of agewell: code: is missing",
        "y",
    ]


def test_every_pattern_of_ours_has_words():
    travelling = [each for each in vars(messages).values() if hasattr(each, "model_fields")]
    patterns = {
        each.pattern
        for model in [ModelSpec, InputSpec, Settings, *travelling]
        for field in model.model_fields.values()
        for each in field.metadata
        if getattr(each, "pattern", None)
    }
    assert len(patterns) > 3
    assert patterns <= set(problems._PATTERNS)
