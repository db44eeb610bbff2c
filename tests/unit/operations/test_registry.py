"""The registry: modules, files and entry points with operations, and those that cannot be used."""

import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from agewell.workers.jobs.offers import offer_of
from agewell.workers.operations import flip, registry
from agewell.workers.operations.registry import Registry, load_operations
from tests.support.paths import ROOT

BUILT_IN = {path.stem for path in (ROOT / "workers" / "operations").glob("*.py")}
"""Their files have the names of the operations."""

HEAD = "from agewell import Image, operation\n"
SEPIA = HEAD + "@operation\ndef sepia(image: Image) -> Image: return image\n"

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a module, and return its name. It is forgotten after the test."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    load_operations.cache_clear()

    def writer(name: str, text: str = SEPIA) -> str:
        path = tmp_path / (name.replace(".", "/") + ".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return name

    yield writer
    load_operations.cache_clear()
    for name in set(sys.modules) - before:
        module = sys.modules[name]
        if str(getattr(module, "__file__", "") or "").startswith(str(tmp_path)):
            del sys.modules[name]


def reasons(found: Registry) -> dict[str, str]:
    return {each.source: each.reason for each in found.failures}


def entry_points(monkeypatch: pytest.MonkeyPatch, *values: str) -> None:
    made = [EntryPoint(f"n{number}", value, registry.GROUP) for number, value in enumerate(values)]
    monkeypatch.setattr(registry, "entry_points", lambda group: made)


def test_agewells_own_operations_are_there_without_a_setting():
    found = load_operations()
    assert set(found.operations) <= BUILT_IN
    assert {"hsv", "alpha_blend", "poisson_blend", "flip", "resize"} <= set(found.operations)
    assert found.failures == ()
    assert dict(found.sources) == {}


def test_a_module_is_imported_by_name(write: Write):
    found = load_operations((write("registry_one.ops"),))
    assert dict(found.sources) == {"sepia": "registry_one.ops"}
    assert found.failures == ()
    assert found.operations["sepia"].function(np.zeros((1, 1), np.uint8)).shape == (1, 1)


def test_a_file_is_imported_by_path(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write("ops_here")
    monkeypatch.chdir(tmp_path)
    found = load_operations(("./ops_here.py",))
    assert dict(found.sources) == {"sepia": "./ops_here.py"}


def test_files_that_are_called_like_packages_replace_none(write: Write, tmp_path: Path):
    import json

    names = [write("json"), write("numpy", SEPIA.replace("sepia", "other"))]
    found = load_operations(tuple(str(tmp_path / f"{name}.py") for name in names))
    assert set(found.sources) == {"sepia", "other"}
    assert sys.modules["json"] is json
    assert sys.modules["numpy"] is np


def test_files_of_the_same_name_do_not_replace_each_other(write: Write, tmp_path: Path):
    write("a.ops")
    write("b.ops", SEPIA.replace("sepia", "other"))
    paths = [str(tmp_path / folder / "ops.py") for folder in "ab"]
    assert dict(load_operations(tuple(paths)).sources) == {"sepia": paths[0], "other": paths[1]}


def test_entry_points_name_modules_or_single_functions(
    write: Write, monkeypatch: pytest.MonkeyPatch
):
    two = SEPIA + "@operation\ndef other(image: Image) -> Image: return image\n"
    entry_points(monkeypatch, write("registry_two"), f"{write('registry_three', two)}:other")
    found = load_operations()
    assert dict(found.sources) == {"sepia": "registry_two", "other": "registry_three:other"}


def test_one_module_under_several_names_is_no_failure(
    write: Write, monkeypatch: pytest.MonkeyPatch
):
    write("registry_four.ops")
    write("registry_four.__init__", "from registry_four.ops import sepia\n")
    entry_points(monkeypatch, "registry_four.ops", "registry_four", "registry_four:sepia")
    found = load_operations(("registry_four.ops",))
    assert dict(found.sources) == {"sepia": "registry_four.ops"}
    assert found.failures == ()


BAD = {
    "nosuch_import": ("import nosuch_thing\n", "ModuleNotFoundError: No module named 'nosuch_thi"),
    "syntax": ("def (:\n", "SyntaxError: "),
    "raises": ("raise ValueError('no luck')\n", "ValueError: no luck"),
    "exits": ("import sys\nsys.exit('not today')\n", "SystemExit: not today"),
    "controls": ("raise ValueError('\\x1b[2J\\nno \\udc80')\n", r"ValueError: \x1b[2J\nno \x80"),
    "declares_badly": (SEPIA.replace("image: Image", "image"), "DeclarationError: sepia: the argu"),
    "none": ("VALUE = 1\n", "ImportError: it declares no operation: use the decorator @operation"),
    "only_imports": ("from agewell.workers.operations.flip import flip\n", "it declares no operat"),
    "lies": (
        "class A:\n  agewell_operation = 5\n  def __call__(self): ...\nx = A()\n",
        "no operat",
    ),
    "guards": (
        "class A:\n  def __call__(self): ...\n  def __getattr__(self, name): raise OSError(name)\n"
        "x = A()\n",
        "OSError: agewell_operation",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_module_that_fails_is_named_and_the_others_serve(write: Write, name: str):
    text, reason = BAD[name]
    bad, good = write(f"registry_bad_{name}", text), write("registry_good")
    found = load_operations((bad, good))
    assert dict(found.sources) == {"sepia": good}
    assert {"hsv", "sepia"} <= set(found.operations)
    assert list(reasons(found)) == [bad]
    assert reason in reasons(found)[bad]
    # A worker can publish it, whatever is in the reason.
    offer = offer_of("cv@here", _Settings((bad, good)))  # type: ignore[arg-type]
    assert bad in offer.model_dump_json()


class _Settings:
    def __init__(self, operations: tuple[str, ...]) -> None:
        self.operations = operations


@pytest.mark.parametrize(
    "name", ["nosuch_module", "nosuch.module", "./nosuch.py", "/dev/null/a.py"]
)
def test_a_module_that_does_not_exist_is_named(write: Write, name: str):
    found = load_operations((name,))
    assert (
        "o such file" in reasons(found)[name]
        or "No module" in reasons(found)[name]
        or ("Not a directory" in reasons(found)[name])
    )


def test_a_file_that_fails_leaves_no_module_behind(write: Write, tmp_path: Path):
    write("half", SEPIA + "raise ValueError\n")
    path = str(tmp_path / "half.py")
    assert load_operations((path,)).failures
    assert path not in sys.modules


def test_an_entry_point_that_fails_is_named(write: Write, monkeypatch: pytest.MonkeyPatch):
    good = write("registry_five")
    entry_points(monkeypatch, "nosuch_module", f"{good}:nothing", good, f"{good}:Image")
    found = load_operations()
    assert set(reasons(found)) == {"nosuch_module", f"{good}:nothing", f"{good}:Image"}
    assert dict(found.sources) == {"sepia": good}


def test_the_first_of_two_operations_of_one_name_serves(write: Write):
    first = write("registry_six")
    second = write("registry_seven", SEPIA + SEPIA.replace("sepia", "other"))
    found = load_operations((first, second))
    assert dict(found.sources) == {"sepia": first, "other": second}
    assert reasons(found) == {second: f"{first} has an operation sepia already"}


def test_two_operations_of_one_name_in_one_module_are_a_failure(write: Write):
    again = SEPIA + "second = operation(name='sepia')(lambda: 0) if 0 else None\n"
    again += "@operation(name='sepia')\ndef later(image: Image) -> Image: return 1 * image\n"
    name = write("registry_eight", again)
    found = load_operations((name,))
    assert found.operations["sepia"].function.__name__ == "sepia"
    assert reasons(found) == {name: f"{name} has an operation sepia already"}


@pytest.mark.parametrize(
    ("declared", "taken"),
    [
        ("@operation\ndef hsv", "agewell has an operation hsv already"),
        ("@operation\ndef blend", "blend: agewell has a command `agewell enqueue blend` already"),
        ("@operation(command='flip')\ndef x", "x: agewell has a command `agewell enqueue flip` al"),
    ],
)
def test_agewells_own_operations_and_commands_cannot_be_replaced(
    write: Write, declared: str, taken: str
):
    own = load_operations().operations["hsv"]
    name = write("registry_nine", HEAD + f"{declared}(image: Image) -> Image: return image\n")
    found = load_operations((name,))
    assert found.operations["hsv"] is own
    assert taken in reasons(found)[name]
    assert dict(found.sources) == {}


def test_operations_that_a_module_imports_from_others_are_not_its_own(write: Write):
    write("registry_lib")
    text = SEPIA.replace("sepia", "mine") + "from registry_lib import sepia\n"
    text += "from agewell.workers.operations.flip import flip\n"
    found = load_operations((write("registry_ten", text),))
    assert dict(found.sources) == {"mine": "registry_ten"}
    assert found.operations["flip"].function is flip.flip


def test_a_module_with_odd_values_is_read_to_its_end(write: Write):
    text = "from unittest.mock import Mock\nm = Mock()\nimport numpy as np\na = np.zeros(3)\n"
    found = load_operations((write("registry_eleven", text + SEPIA),))
    assert dict(found.sources) == {"sepia": "registry_eleven"}


def test_what_a_worker_offers_says_where_its_operations_come_from(write: Write):
    name = write("registry_twelve")
    offer = offer_of("cv@here", _Settings((name, "nosuch_module")))  # type: ignore[arg-type]
    assert [each.name for each in offer.users] == ["sepia"]
    assert "hsv" in offer.built_in
    assert "sepia" not in offer.built_in
    assert offer.sources == {"sepia": name}
    assert [each.source for each in offer.failures] == ["nosuch_module"]
    assert isinstance(sys.modules[name], ModuleType)
