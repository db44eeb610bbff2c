"""The arguments and options of an operation's command, made from its schema."""

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import typer

from agewell.producer.cli.send_options import Paths
from agewell.shared.errors import ParameterError
from agewell.shared.protocol.operations import ImageInput, OperationSchema
from agewell.shared.protocol.parameters import complete_parameters, value_from_text, without_null

_ONE_FOR_ALL = "One file goes with all the others."
_KINDS: Mapping[str, type] = {"boolean": bool, "integer": int, "number": float, "string": str}


def takes_many_files(schema: OperationSchema) -> bool:
    """Return True if the command takes any number of paths: an item has only one image."""
    return len(schema.item_inputs) == 1


def arguments_of(schema: OperationSchema) -> Iterator[inspect.Parameter]:
    """Yield the parameters of the function that Typer makes a command of."""
    if takes_many_files(schema):
        yield _argument("paths", Paths)
    else:
        for each in schema.item_inputs:
            yield _image_argument(each) if each.required else _image_option(each)
    for each in schema.shared_inputs:
        yield _image_option(each)
    for name, each in schema.parameters.get("properties", {}).items():
        yield _option(name, each, is_required=name in schema.parameters.get("required", ()))


def _argument(
    name: str, annotation: Any, default: Any = inspect.Parameter.empty
) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def _image_argument(image: ImageInput) -> inspect.Parameter:
    text = f"{_first_sentence(image.description)} A file, a folder or a glob. {_ONE_FOR_ALL}"
    return _argument(image.name, Annotated[str, typer.Argument(help=text.strip())])


def _image_option(image: ImageInput) -> inspect.Parameter:
    text = _first_sentence(image.description)
    if image.shared:
        option = typer.Option(_flag(image.name), metavar="FILE", help=text)
    else:
        option = typer.Option(_flag(image.name), metavar="PATH", help=f"{text} {_ONE_FOR_ALL}")
    if image.required:
        return _argument(image.name, Annotated[str, option])
    return _argument(image.name, Annotated[str | None, option], None)


def option_name(name: str, schema: Mapping[str, Any]) -> str:
    """Return the option of a parameter, such as `--full-range`."""
    return _flag(schema.get("option", name))


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _option(name: str, schema: Mapping[str, Any], *, is_required: bool) -> inspect.Parameter:
    inner, default = without_null(schema), schema.get("default")
    text = sentence(schema.get("description", ""))
    kind, options = _type_of(inner)
    names = option_name(name, schema)
    if kind is bool and default is True:
        names += "/--no-" + names[2:]
    if default is None and not is_required:
        options["show_default"] = False
    declared = typer.Option(names, help=text, **options)
    if is_required:
        return _argument(name, Annotated[kind, declared])
    if default is None:
        return _argument(name, Annotated[kind | None, declared], None)
    return _argument(name, Annotated[kind, declared], _as_typed(default))


def _type_of(schema: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return the Python type of an option's value, and further arguments of `typer.Option`."""
    if "enum" in schema and all(isinstance(each, str) for each in schema["enum"]):
        return Literal[tuple(schema["enum"])], {}
    kind = _KINDS.get(schema.get("type", ""))
    if kind in (int, float):
        bounds = {"min": schema.get("minimum"), "max": schema.get("maximum")}
        return kind, {name: value for name, value in bounds.items() if value is not None}
    if kind is not None:
        return kind, {"metavar": schema["metavar"]} if "metavar" in schema else {}
    is_short = "prefixItems" in schema
    return str, {"metavar": schema.get("metavar") or ("X,Y" if is_short else "JSON")}


def _as_typed(default: Any) -> Any:
    if isinstance(default, list):
        return ",".join(map(str, default))
    return json.dumps(default) if isinstance(default, dict) else default


def parameters_from(schema: OperationSchema, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a job from the options of its command.

    Raises:
        ParameterError: an option is not allowed. The error names it as it is typed.
    """
    properties = schema.parameters.get("properties", {})
    values = {
        name: value_from_text(option_name(name, each), given[name], each)
        for name, each in properties.items()
        if given.get(name) is not None
    }
    try:
        return complete_parameters(schema, values)
    except ParameterError as error:
        name = error.parameter.rpartition(" ")[2]
        raise ParameterError(
            option_name(name, properties[name]), error.found, error.allowed
        ) from None


def sentence(text: str) -> str:
    """Return a description as a sentence: with a capital letter and a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") or not text else ".")


def _first_sentence(text: str) -> str:
    return sentence(re.split(r"(?<=[.])\s", text, maxsplit=1)[0])
