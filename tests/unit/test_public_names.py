"""The names that users import from `agewell`."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import agewell

LAZY = """
import sys, agewell
heavy = {"celery", "kombu", "redis", "numpy", "pydantic", "cv2"} & set(sys.modules)
assert not heavy, heavy
from agewell import HsvJob
assert "celery" not in sys.modules and "numpy" not in sys.modules
from agewell import Client
assert "celery" in sys.modules and "numpy" not in sys.modules
"""


@pytest.mark.parametrize("name", agewell.__all__)
def test_every_name_is_there(name):
    value = getattr(agewell, name)
    assert value.__name__.endswith(name) or name in ("Colour", "Image", "SharedImage")


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(agewell.__file__).read_text())
    [block] = [each for each in tree.body if isinstance(each, ast.If)]
    seen = {alias.asname for each in block.body for alias in each.names}
    assert seen == set(agewell.__all__)


def test_errors_can_be_imported_by_their_names():
    from agewell.errors import AgewellError, BadFileError

    assert issubclass(BadFileError, AgewellError)
    assert agewell.AgewellError is AgewellError


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nosuch"):
        agewell.nosuch  # noqa: B018


def test_importing_agewell_loads_no_library_before_it_is_used():
    subprocess.run([sys.executable, "-c", LAZY], check=True, timeout=60)
