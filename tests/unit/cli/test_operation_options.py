"""The commands of operations, made from schemas: their options, defaults, help and errors."""

import json
import re
from typing import Any

import pytest
import typer
import typer.main
from typer.testing import CliRunner

from agewell.producer.cli import enqueue
from agewell.producer.cli.enqueue import enqueue_app, operation_command
from agewell.producer.cli.operation_options import parameters_from
from agewell.producer.cli.send_options import Options
from agewell.shared.protocol.built_in import built_in_schemas
from agewell.shared.protocol.operations import OperationSchema
from tests.unit.protocol.test_parameters import SCHEMA as STRANGE

GRAB = OperationSchema.model_validate(
    {
        "name": "grab",
        "command": "grab",
        "summary": "Have every name that agewell's own options have, as another version may",
        "inputs": [{"name": "paths"}, {"name": "out", "shared": True}],
        "parameters": {
            "type": "object",
            "properties": {
                "quality": {"type": "integer", "default": 5},
                "format": {"type": "string", "default": "a"},
                "wait": {"type": "boolean", "default": False},
                "priority": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
                "help": {"type": "string", "default": "h"},
                "as_json": {"type": "boolean", "default": True},
                "block": {"anyOf": [{"type": "boolean"}, {"type": "null"}], "default": None},
            },
        },
    }
)


class Typed:
    """The command of an operation, which reads its options and sends nothing."""

    def __init__(self, schema: OperationSchema, monkeypatch: pytest.MonkeyPatch) -> None:
        self.parameters: dict[str, Any] = {}
        self.options: Options | None = None
        monkeypatch.setattr(enqueue, "_send", self._send)
        app = typer.Typer()
        app.command(schema.command)(operation_command(schema))
        app.callback()(lambda: None)
        self._app, self._command = app, schema.command

    def _send(self, schema: OperationSchema, given: dict[str, Any], options: Options) -> None:
        self.parameters, self.options = parameters_from(schema, given), options

    def type(self, *words: str) -> Any:
        return CliRunner().invoke(self._app, [self._command, *words], env={"COLUMNS": "80"})


def words_of(output: str) -> str:
    """The text of an error without its frame."""
    return " ".join(re.sub(r"[─│╭╮╰╯]", " ", output).split())


def test_defaults_of_every_type_are_read_back(monkeypatch):
    command = Typed(STRANGE, monkeypatch)
    done = command.type("photo.png", "--needed", "1")
    assert done.exit_code == 0, done.output
    properties = STRANGE.parameters["properties"]
    defaults = {name: each.get("default") for name, each in properties.items()}
    expected = {name: each for name, each in defaults.items() if each is not None}
    assert command.parameters == expected | {"needed": 1}


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--depth", "2"], "depth", 2),
        (["--metal", "silver"], "metal", "silver"),
        (["--number", "3"], "number", 3),
        (["--no-on"], "on", False),
        (["--box", "-1,-2,3,4"], "box", [-1, -2, 3, 4]),
        (["--box=-1,-2,3,4"], "box", [-1, -2, 3, 4]),
        (["--point", '{"x": 1, "y": 3}'], "point", {"x": 1, "y": 3}),
        (["--numbers", "1,2"], "numbers", [1, 2]),
    ],
)
def test_value_of_each_type_can_be_typed(monkeypatch, words: list[str], name: str, value: Any):
    command = Typed(STRANGE, monkeypatch)
    done = command.type("photo.png", "--needed", "1", *words)
    assert done.exit_code == 0, done.output
    assert command.parameters[name] == value


def test_error_within_an_object_names_the_option_and_the_place(monkeypatch):
    path = json.dumps({"points": [{"x": 1, "y": -1}]})
    done = Typed(STRANGE, monkeypatch).type("photo.png", "--needed", "1", "--path", path)
    assert done.exit_code == 2
    said = "error: --path at points.0.y is -1; allowed: a whole number, 0 to 10"
    assert done.stderr.splitlines() == [said]


def test_option_with_the_name_of_a_shared_one_begins_with_the_command(monkeypatch):
    command = Typed(GRAB, monkeypatch)
    done = command.type(
        *("photo.png", "--grab-out", "logo.png", "--grab-quality", "7", "--quality", "80"),
        *("--format", "jpeg", "--grab-format", "b", "--grab-wait", "--no-grab-block"),
        *("--priority", "low", "--grab-priority", "3", "--grab-help", "me", "--no-as-json"),
    )
    assert done.exit_code == 0, done.output
    assert command.parameters == {
        **{"quality": 7, "format": "b", "wait": True, "priority": 3},
        **{"help": "me", "as_json": False, "block": False},
    }
    assert command.options is not None
    assert not command.options.wait
    assert command.options.output.quality == 80


@pytest.mark.parametrize("command", [each.command for each in built_in_schemas().values()])
def test_help_fits_into_80_columns_with_every_option_whole(command: str):
    shown = CliRunner().invoke(enqueue_app, [command, "--help"], env={"COLUMNS": "80"})
    assert shown.exit_code == 0
    lines = shown.output.splitlines()
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if "…" in line]
    [schema] = [each for each in built_in_schemas().values() if each.command == command]
    for name, each in schema.parameters.get("properties", {}).items():
        flag = "--" + each.get("option", name).replace("_", "-")
        assert re.search(rf"{flag}\b", shown.output), flag


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["resize", "x.png", "--width", "wide"], "'--width': Input should be a valid integer"),
        (["resize", "x.png", "--width", "0"], "'--width'"),
        (["resize", "x.png", "--width", "65536"], "'--width'"),
        (["resize", "x.png", "--width", "1e3"], "'--width'"),
        (["resize", "x.png", "--width", "9" * 500], "'--width'"),
        (["resize", "x.png", "--mode", "stretch"], "'stretch' is not one of 'fit', 'fill'"),
        (["crop", "x.png", "--box", "1,2,3"], "--box is '1,2,3'; allowed: 4 values"),
        (["crop", "x.png", "--box", "0,0,0,5"], "--box is '0,0,0,5'; allowed: 4 values"),
        (["crop", "x.png", "--box", "-1,0,5,5"], "--box is '-1,0,5,5'; allowed: 4 values"),
        (["crop", "x.png", "--box", "a,b,c,d"], "--box is 'a,b,c,d'; allowed: 4 values"),
        (["crop", "x.png", "--gravity", "up"], "'up' is not one of 'center', 'north'"),
        (["rotate", "x.png"], "Missing option '--angle'"),
        (["rotate", "x.png", "--angle", "nan"], "'--angle'"),
        (["rotate", "x.png", "--angle", "inf"], "'--angle'"),
        (["rotate", "x.png", "--angle", "361"], "'--angle'"),
        (
            ["rotate", "x.png", "--angle", "5", "--background", "red"],
            "--background is 'red'; allowed: ",
        ),
        (["flatten", "x.png", "--background", "#fff"], "--background is '#fff'; allowed: a colour"),
        (["adjust", "x.png", "--gamma", "0"], "'--gamma'"),
        (["adjust", "x.png", "--brightness", "-1"], "'--brightness'"),
        (["adjust", "x.png", "--contrast", "much"], "'--contrast'"),
        (["watermark", "x.png"], "Missing option '--image'"),
        (
            ["watermark", "x.png", "--image", "y.png", "--size", "0"],
            "--size is 0.0; allowed: a number above 0 and of at most 1",
        ),
        (["flip", "x.png", "--direction", "up"], "'up' is not one of 'horizontal'"),
        (["blend", "a.png", "b.png", "--offset", "5"], "--offset is '5'; allowed: 2 values"),
        (["blend", "a.png", "b.png", "--offset", "5,"], "--offset is '5,'; allowed: 2 values"),
        (["blend", "a.png", "b.png", "--offset", "1,2,3"], "--offset is '1,2,3'; allowed: 2"),
        (["blend", "a.png", "b.png", "--offset", "9e9,0"], "--offset is '9e9,0'; allow"),
        (["blend", "a.png", "b.png", "--alpha", "nan"], "'--alpha'"),
        (["poisson", "a", "b", "c", "--at=1.5,2"], "--at is '1.5,2'; allowed: 2 values: a whole"),
        (["hsv", "x.png", "--full-range=yes"], "'--full-range' does not take a value"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_wrong_value_of_a_built_in_operation_is_refused(words: list[str], said: str):
    done = CliRunner().invoke(enqueue_app, words, env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert isinstance(done.exception, SystemExit)
    assert said in words_of(done.output)


@pytest.mark.parametrize(
    ("words", "parameters"),
    [
        (["blend", "a.png", "b.png", "--offset", "-5,3"], {"offset": [-5, 3]}),
        (["blend", "a.png", "b.png", "--offset=-5,-3"], {"offset": [-5, -3]}),
        (["poisson", "a", "b", "c", "--at=-5,-5"], {"mask_on_destination": [-5, -5]}),
        (["rotate", "x.png", "--angle", "-90"], {"angle": -90}),
        (["rotate", "x.png", "--angle=-90", "--no-expand"], {"angle": -90, "expand": False}),
        (["crop", "x.png", "--box", "1,2,3,4"], {"box": [1, 2, 3, 4]}),
        (["flatten", "x.png", "--background", "#fFfFfF"], {"background": "#fFfFfF"}),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_negative_numbers_and_colours_are_read(monkeypatch, words, parameters):
    schemas = {each.command: each for each in built_in_schemas().values()}
    command = Typed(schemas[words[0]], monkeypatch)
    done = command.type(*words[1:])
    assert done.exit_code == 0, done.output
    assert command.parameters | parameters == command.parameters
