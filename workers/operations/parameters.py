"""The parameters of an operation as a pydantic model, and as a JSON schema."""

import inspect
import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, get_args, get_origin

import pydantic
from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import PydanticJsonSchemaWarning

from agewell.shared.protocol.operations import class_name
from agewell.shared.text.problems import first_problem, shortened
from agewell.workers.operations.signature import COMMAND_OPTIONS, Argument, DeclarationError


class Parameters(BaseModel):
    """Base of the parameters of all operations.

    They are frozen. Unknown names are refused, and numbers that JSON does not have.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=()
    )


def parameters_model(
    op: str, arguments: Sequence[Argument], described: Mapping[str, str]
) -> type[Parameters]:
    """Make the model of an operation's parameters.

    Args:
        op: the name of the operation.
        arguments: all arguments of its function.
        described: descriptions by the names of arguments.

    Raises:
        DeclarationError: the type, the bounds or the default of a parameter are not possible.
    """
    found = [each for each in arguments if each.kind == "parameter"]
    fields = {each.name: (each.hint, _field(op, each, described.get(each.name))) for each in found}
    model = _model(op, fields)
    for name in fields:
        _check_field(op, name, model)
    _check_options(op, model, roles=[each.name for each in arguments if each.kind != "parameter"])
    _check_defaults(op, model)
    return model


def _field(op: str, argument: Argument, description: str | None) -> FieldInfo:
    """Return the field of a parameter. A description in its type wins over the docstring."""
    if isinstance(argument.default, FieldInfo):
        raise DeclarationError(
            f"{op}: the default of {argument.name} is a Field; write "
            f"`{argument.name}: Annotated[TYPE, Field(...)] = DEFAULT`"
        )
    has_own = get_origin(argument.hint) is Annotated and any(
        isinstance(each, FieldInfo) and each.description for each in get_args(argument.hint)
    )
    default = ... if argument.default is inspect.Parameter.empty else argument.default
    options = {} if has_own or not description else {"description": description}
    found: FieldInfo = pydantic.Field(default, **options)  # type: ignore[call-overload]
    return found


def _model(op: str, fields: Mapping[str, Any]) -> type[Parameters]:
    """Create the model. If that fails, find the parameter that it fails for."""
    try:
        model = _created(op, fields)
    except Exception as error:  # noqa: BLE001  pydantic and the users' types raise any class
        for name, field in fields.items():
            try:
                _created(op, {name: field})
            except Exception as reason:  # noqa: BLE001
                raise _no_type(op, name, field[0], reason) from None
        raise DeclarationError(f"{op}: {_one_line(error)}") from None
    return model


def _created(op: str, fields: Mapping[str, Any]) -> type[Parameters]:
    made: type[Parameters] = create_model(
        f"{class_name(op)}Parameters", __base__=Parameters, **fields
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PydanticJsonSchemaWarning)  # `json_schema` reports them
        made.model_json_schema()
    return made


def _no_type(op: str, name: str, hint: Any, reason: Exception) -> DeclarationError:
    shown = inspect.formatannotation(hint)
    return DeclarationError(
        f"{op}: the type of {name}, {shown}, is not one that pydantic can check and JSON can hold: "
        f"{_one_line(reason)}"
    )


def _one_line(error: Exception) -> str:
    """Return the text of an error without pydantic's advice, which is for other uses of it."""
    text = " ".join(str(error).partition(". Set `arbitrary_types")[0].split())
    return text.partition(" For further information")[0][:400]


def _check_field(op: str, name: str, model: type[Parameters]) -> None:
    field = model.model_fields.get(name)
    if field is None:
        raise DeclarationError(f"{op}: {name} is a ClassVar, and so no parameter")
    if field.alias or field.validation_alias or field.serialization_alias or field.exclude:
        raise DeclarationError(f"{op}: {name} has an alias or is excluded; give only its one name")


def _check_options(op: str, model: type[Parameters], roles: Sequence[str]) -> None:
    """Check the options of the command that have other names than their parameters."""
    taken = {*COMMAND_OPTIONS, *roles}
    for name, field in model.model_fields.items():
        extra = field.json_schema_extra
        option = extra.get("option", name) if isinstance(extra, dict) else name
        if not isinstance(option, str) or re.fullmatch(r"[A-Za-z][\w-]*", option) is None:
            raise DeclarationError(f"{op}: {name} cannot have the option {option!r}")
        if option.replace("-", "_") in taken:
            raise DeclarationError(f"{op}: there is another option --{option} than that of {name}")
        taken.add(option.replace("-", "_"))


def _check_defaults(op: str, model: type[Parameters]) -> None:
    """Check the defaults as parameters: a job that leaves one out gets it unchecked."""
    fields = model.model_fields.items()
    given = {name: each.get_default(call_default_factory=True) for name, each in fields
             if not each.is_required()}  # fmt: skip
    try:
        model.model_validate(given)
    except TypeError as error:  # a bound that does not fit the type
        raise DeclarationError(f"{op}: {_one_line(error)}") from None
    except ValidationError as error:
        wrong = [each for each in error.errors() if each["type"] != "missing"]
        if wrong:
            name = str(wrong[0]["loc"][0])
            problem = first_problem(error) if len(wrong) == error.error_count() else None
            reason = problem.reason if problem else wrong[0]["msg"]
            raise DeclarationError(
                f"{op}: the default of {name}, {shortened(given[name])}, {reason}"
            ) from None


def json_schema(op: str, model: type[Parameters]) -> dict[str, Any]:
    """Return the JSON schema of an operation's parameters.

    Types that a parameter refers to are written out in place, so that a command line can be made
    of it.

    Raises:
        DeclarationError: a default is not one that JSON can hold.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", PydanticJsonSchemaWarning)
            schema = model.model_json_schema()
        found = _inlined(schema, schema.pop("$defs", {}))
        json.dumps(found, allow_nan=False, ensure_ascii=False).encode()
    except (PydanticJsonSchemaWarning, ValueError) as error:
        raise DeclarationError(f"{op}: a default is no JSON: {_one_line(error)}") from None
    found.pop("description", None)
    return found


def _inlined(schema: dict[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Replace references to definitions by these, but for types that contain themselves."""
    found: dict[str, Any] = _replaced(schema, definitions, ())
    left = {each for each in _references(found) if each in definitions}
    return found | {"$defs": dict(definitions)} if left else found


def _replaced(node: Any, definitions: Mapping[str, Any], within: tuple[str, ...]) -> Any:
    if isinstance(node, list):
        return [_replaced(each, definitions, within) for each in node]
    if not isinstance(node, dict):
        return node
    name = _referred(node)
    if name is not None and name not in within and name in definitions:
        inner = _replaced(definitions[name], definitions, (*within, name))
        rest = {key: each for key, each in node.items() if key != "$ref"}
        return inner | _replaced(rest, definitions, within)
    return {key: _replaced(each, definitions, within) for key, each in node.items()}


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        name = _referred(node)
        if name is not None:
            yield name
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for each in children:
        yield from _references(each)


def _referred(node: Mapping[str, Any]) -> str | None:
    reference = node.get("$ref")
    return reference.rpartition("/")[2] if isinstance(reference, str) else None
