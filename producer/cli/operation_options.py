"""The arguments and options of an operation's command, made from its schema."""

import inspect
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import typer

from agewell.producer.cli.send_options import Paths, read_options
from agewell.shared.errors import ParameterError
from agewell.shared.protocol.operations import ImageInput, OperationSchema
from agewell.shared.protocol.parameter_text import (
    choice_as_text,
    choices_of,
    is_short_list,
    value_from_text,
)
from agewell.shared.protocol.parameters import complete_parameters, properties_of
from agewell.shared.text.problems import shortened

_ONE_FOR_ALL = "One file goes with all the others."
_KINDS: Mapping[str, type] = {"boolean": bool, "integer": int, "number": float, "string": str}

_ARGUMENTS = frozenset(inspect.signature(read_options).parameters) | {"paths", "options", "help"}
"""Names of Python arguments that every command has."""
_FLAGS = _ARGUMENTS - {"image_format", "as_json", "paths", "options"} | {"format", "json", "help"}
"""Names of options that every command has."""


def takes_many_files(schema: OperationSchema) -> bool:
    """Return True if the command takes any number of paths: an item has only one image."""
    return len(schema.item_inputs) == 1


def arguments_of(schema: OperationSchema) -> Iterator[inspect.Parameter]:
    """Yield the parameters of the function that Typer makes a command of."""
    if takes_many_files(schema):
        yield inspect.Parameter("paths", inspect.Parameter.KEYWORD_ONLY, annotation=Paths)
    else:
        for each in schema.item_inputs:
            yield _image_argument(each) if each.required else _image_option(schema, each)
    for each in schema.shared_inputs:
        yield _image_option(schema, each)
    for name, values in properties_of(schema).items():
        yield _option(schema, name, values)


def argument_name(name: str) -> str:
    """Return the name of the Python argument of an image or a parameter."""
    return f"{name}_" if name in _ARGUMENTS else name


def _argument(
    name: str, annotation: Any, default: Any = inspect.Parameter.empty
) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(argument_name(name), kind, default=default, annotation=annotation)


def _image_argument(image: ImageInput) -> inspect.Parameter:
    text = f"{_first_sentence(image.description)} A file, a folder or a glob. {_ONE_FOR_ALL}"
    return _argument(image.name, Annotated[str, typer.Argument(help=text.strip())])


def _image_option(schema: OperationSchema, image: ImageInput) -> inspect.Parameter:
    flag, text = option_name(schema, image.name), _first_sentence(image.description)
    if image.shared:
        option = typer.Option(flag, metavar="FILE", help=text)
    else:
        option = typer.Option(flag, metavar="PATH", help=f"{text} {_ONE_FOR_ALL}")
    if image.required:
        return _argument(image.name, Annotated[str, option])
    return _argument(image.name, Annotated[str | None, option], None)


def option_name(schema: OperationSchema, name: str) -> str:
    """Return the option of an image or a parameter, such as `--full-range`.

    If every command has an option of that name, it begins with the command: `--sepia-quality`.
    """
    given = schema.parameters.get("properties", {}).get(name, {}).get("option", name)
    if given.replace("-", "_") in _FLAGS:
        given = f"{schema.command}-{given}"
    return "--" + str(given).replace("_", "-")


def required_options(schema: OperationSchema) -> Iterator[str]:
    """Yield the options of required parameters with a value for each, for an example."""
    properties = properties_of(schema)
    for name in schema.parameters.get("required", ()):
        flag, values = option_name(schema, name), properties[name]
        yield flag if values.get("type") == "boolean" else f"{flag} {_example_of(values)}"


def _example_of(schema: Mapping[str, Any]) -> str:
    choices = choices_of(schema)
    if choices:
        return shlex.quote(choice_as_text(choices[0]))
    if schema.get("type") in ("integer", "number"):
        low, high = schema.get("minimum", 1), schema.get("maximum", 1)
        return str(min(max(1, low), max(high, low)))
    return str(_type_of(schema)[1].get("metavar", "TEXT"))


def _option(schema: OperationSchema, name: str, inner: Mapping[str, Any]) -> inspect.Parameter:
    default = inner.get("default")
    is_required = name in schema.parameters.get("required", ())
    text = sentence(inner.get("description", ""))
    kind, options = _type_of(inner)
    names = option_name(schema, name)
    if kind is bool and default is not False:
        names += "/--no-" + names[2:]
    if default is None and not is_required:
        options["show_default"] = False
    declared = typer.Option(names, help=text, **options)
    if is_required:
        return _argument(name, Annotated[kind, declared])
    if default is None:
        return _argument(name, Annotated[kind | None, declared], None)
    return _argument(name, Annotated[kind, declared], _as_typed(default, inner))


def _type_of(schema: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return the Python type of an option's value, and further arguments of `typer.Option`."""
    choices = choices_of(schema)
    if choices:
        return Literal[tuple(map(choice_as_text, choices))], {}
    kind = _KINDS.get(schema.get("type", ""))
    if kind in (int, float):
        bounds = {"min": schema.get("minimum"), "max": schema.get("maximum")}
        return kind, {name: value for name, value in bounds.items() if value is not None}
    if kind is not None:
        return kind, {"metavar": schema["metavar"]} if "metavar" in schema else {}
    return str, {"metavar": schema.get("metavar") or _metavar(schema)}


def _metavar(schema: Mapping[str, Any]) -> str:
    if not is_short_list(schema):
        return "JSON"
    return _METAVARS.get(len(schema.get("prefixItems", ())), "A,B,...")


_METAVARS: Mapping[int, str] = {1: "A", 2: "X,Y", 3: "A,B,C", 4: "A,B,C,D"}


def _as_typed(default: Any, schema: Mapping[str, Any]) -> Any:
    """Return a default as its option's type has it: as it would be typed."""
    if choices_of(schema):
        return choice_as_text(default)
    if _KINDS.get(schema.get("type", "")) is not None:
        return default
    if is_short_list(schema) and not any("," in str(each) for each in default):
        return ",".join(map(choice_as_text, default))
    return json.dumps(default)


def parameters_from(schema: OperationSchema, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a job from the options of its command.

    Args:
        schema: the operation.
        given: the values of the command's arguments, by the names of its Python arguments.

    Raises:
        ParameterError: an option is not allowed. The error names it as it is typed.
    """
    values = {
        name: value_from_text(option_name(schema, name), given[argument_name(name)], each)
        for name, each in properties_of(schema).items()
        if given.get(argument_name(name)) is not None
    }
    try:
        return complete_parameters(schema, values)
    except ParameterError as error:
        name, _, place = error.parameter.removeprefix(f"{schema.name}: ").partition(" ")
        option = f"{option_name(schema, name)} {place}".rstrip()
        typed = given.get(argument_name(name))
        found = shortened(typed) if isinstance(typed, str) and not place else error.found
        raise ParameterError(option, found, error.allowed) from None


def sentence(text: str) -> str:
    """Return a description as a sentence: with a capital letter and a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") or not text else ".")


def _first_sentence(text: str) -> str:
    return sentence(re.split(r"(?<=[.])\s", text, maxsplit=1)[0])
