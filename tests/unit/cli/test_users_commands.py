"""The command of a user's operation: any type of parameter, given or left to its default."""

import enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from agewell.producer.cli import enqueue
from agewell.producer.cli.operation_options import parameters_from
from agewell.workers.imaging.image import Image
from agewell.workers.operations.declaration import ATTRIBUTE, operation


class Shade(enum.Enum):
    DARK = "dark"
    LIGHT = "light"


class Frame(BaseModel):
    width: int = 3
    colour: str = "red"


CASES: dict[str, tuple[Any, Any, Any, str, Any]] = {
    "integer": (int, 3, 3, "5", 5),
    "number": (float, 0.5, 0.5, "1", 1),
    "boolean": (bool, False, False, "", True),
    "text": (str, "a b", "a b", "c", "c"),
    "literal": (Literal["a", "b"], "a", "a", "b", "b"),
    "numbers": (Literal[1, 2], 1, 1, "2", 2),
    "enum": (Shade, Shade.DARK, "dark", "light", "light"),
    "optional": (int | None, None, None, "4", 4),
    "optional with default": (int | None, 3, 3, "4", 4),
    "pair": (tuple[int, int], (1, 2), [1, 2], "3,4", [3, 4]),
    "list": (list[float], [1.0, 2.5], [1.0, 2.5], "[3]", [3]),
    "empty list": (list[int], [], [], "[3]", [3]),
    "object": (dict[str, int], {"a": 1}, {"a": 1}, '{"b": 2}', {"b": 2}),
    "model": (Frame, Frame(), {"width": 3, "colour": "red"}, '{"width": 9}', {"width": 9}),
    "either": (int | bool | None, 3, 3, "true", True),
    "text or number": (str | int, "a", "a", '"b"', "b"),
    "bounded": (Annotated[int, Field(ge=0, le=9)], 3, 3, "9", 9),
}


def parameters(monkeypatch: pytest.MonkeyPatch, kind: Any, default: Any, *typed: str) -> Any:
    """The parameters that a command sends for the words that a user has typed."""

    def op(image: Image, *, value: Any = default) -> Image:
        return image

    op.__annotations__["value"] = kind
    schema = getattr(operation(op), ATTRIBUTE).schema
    got: list[dict[str, Any]] = []
    monkeypatch.setattr(
        enqueue, "_send", lambda schema, given, options: got.append(parameters_from(schema, given))
    )
    app = enqueue._typer_command(schema)
    app.main(["photo.png", *typed], standalone_mode=False)
    return got[0].get("value")


@pytest.mark.parametrize("name", CASES)
def test_a_parameter_that_is_not_typed_has_its_default(name: str, monkeypatch: pytest.MonkeyPatch):
    kind, default, sent, _, _ = CASES[name]
    assert parameters(monkeypatch, kind, default) == sent


@pytest.mark.parametrize("name", CASES)
def test_a_parameter_is_what_was_typed(name: str, monkeypatch: pytest.MonkeyPatch):
    kind, default, _, typed, sent = CASES[name]
    words = ["--value", *([typed] if typed else [])]
    assert parameters(monkeypatch, kind, default, *words) == sent
