"""Checks an operation's parameters by their JSON schema."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agewell.shared.errors import ParameterError
from agewell.shared.protocol.operations import OperationSchema
from agewell.shared.protocol.parameter_text import allowed
from agewell.shared.text.problems import shortened

_DEFINITIONS = "$defs"


def complete_parameters(schema: OperationSchema, given: Mapping[str, Any]) -> dict[str, Any]:
    """Check parameters, and add the defaults of those that are not given.

    Arguments and errors are those of `check_parameters`.
    """
    values = check_parameters(schema, given)
    defaults = {
        name: each["default"]
        for name, each in properties_of(schema).items()
        if each.get("default") is not None
    }
    return defaults | values


def check_parameters(schema: OperationSchema, given: Mapping[str, Any]) -> dict[str, Any]:
    """Check parameters, and return those that are given.

    Args:
        schema: the operation.
        given: the parameters as JSON values. None is a parameter that is not given.

    Raises:
        ParameterError: a parameter is missing, unknown or not allowed.
    """
    properties = properties_of(schema)
    values = {name: value for name, value in given.items() if value is not None}
    for name, value in values.items():
        if name not in properties:
            known = ", ".join(properties) or "none: it has no parameters"
            raise ParameterError(f"{schema.name}: {name}", shortened(value), known)
    for name in schema.parameters.get("required", ()):
        if name not in values:
            raise ParameterError(f"{schema.name}: {name}", "not given", allowed(properties[name]))
    for name, value in values.items():
        _check(schema, name, value, properties[name])
    return values


def properties_of(schema: OperationSchema) -> dict[str, Mapping[str, Any]]:
    """Return the schema of each parameter by name.

    References to the schemas of classes are replaced by these schemas, and an optional parameter
    has the schema of its values.
    """
    definitions = schema.parameters.get(_DEFINITIONS, {})
    properties = schema.parameters.get("properties", {})
    return {
        name: _without_null(_resolved(each, definitions, ())) for name, each in properties.items()
    }


def _resolved(schema: Any, definitions: Mapping[str, Any], within: tuple[str, ...]) -> Any:
    """Replace references. One to a class that contains itself becomes a schema of any value."""
    if isinstance(schema, list):
        return [_resolved(each, definitions, within) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {
        name: _resolved(each, definitions, within)
        for name, each in schema.items()
        if name != "$ref"
    }
    if "$ref" not in schema:
        return found
    target = str(schema["$ref"]).rpartition("/")[2]
    if target in within:
        return found
    return _resolved(definitions.get(target, {}), definitions, (*within, target)) | found


def _without_null(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    options = schema.get("anyOf", ())
    others = [each for each in options if each != {"type": "null"}]
    if len(others) == len(options):
        return schema
    rest = {name: each for name, each in schema.items() if name != "anyOf"}
    return rest | (others[0] if len(others) == 1 else {"anyOf": others})


def _check(schema: OperationSchema, name: str, value: Any, resolved: Mapping[str, Any]) -> None:
    """Check one parameter.

    Raises:
        ParameterError: it is not allowed. The error names the place of a fault within an object.
    """
    title = f"{schema.name}: {name}"
    try:
        fault = _fault(schema, name, value) if _is_finite(value) else _Fault((), value, {})
    except RecursionError:
        raise ParameterError(title, "nested too deeply", allowed(resolved)) from None
    if fault is None:
        return
    if any(isinstance(each, str) for each in fault.place):
        title += f" at {'.'.join(map(str, fault.place))}"
        raise ParameterError(title, shortened(fault.found), allowed(fault.schema))
    raise ParameterError(title, shortened(value), allowed(resolved))


@dataclass(frozen=True)
class _Fault:
    place: tuple[str | int, ...]
    """Names and positions, from the outermost value to the fault."""
    found: Any
    schema: Mapping[str, Any]
    """The schema of the value there."""


def _fault(schema: OperationSchema, name: str, value: Any) -> _Fault | None:
    from jsonschema import Draft202012Validator  # it takes 0.1 s to import
    from jsonschema.exceptions import best_match

    definitions = schema.parameters.get(_DEFINITIONS, {})
    checked = schema.parameters["properties"][name] | {_DEFINITIONS: definitions}
    try:
        error = best_match(Draft202012Validator(checked).iter_errors(_as_json(value)))
    except (re.error, OverflowError):
        return None  # the worker checks it: pydantic's patterns and integers are not Python's
    if error is None:
        return None
    inner = _resolved(error.schema, definitions, ())
    return _Fault(tuple(error.absolute_path), error.instance, inner)


def _as_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _as_json(each) for name, each in value.items()}
    return [_as_json(each) for each in value] if isinstance(value, list | tuple) else value


def _is_finite(value: Any) -> bool:
    """Return False if a value contains a number that JSON cannot hold, such as NaN."""
    try:
        if isinstance(value, Mapping):
            return all(map(_is_finite, value.values()))
        if isinstance(value, list | tuple):
            return all(map(_is_finite, value))
        return not isinstance(value, int | float) or math.isfinite(value)
    except OverflowError:
        return False
