"""Checks an operation's parameters by their JSON schema, and says in words which are allowed."""

import json
from collections.abc import Mapping
from typing import Any

from agewell.shared.errors import ParameterError
from agewell.shared.protocol.operations import PIXELS_MAX, PIXELS_MIN, OperationSchema
from agewell.shared.text.problems import pattern_in_words, shortened


def complete_parameters(schema: OperationSchema, given: Mapping[str, Any]) -> dict[str, Any]:
    """Check parameters, and add the defaults of those that are not given.

    Arguments and errors are those of `check_parameters`.
    """
    values = check_parameters(schema, given)
    defaults = {
        name: each["default"]
        for name, each in schema.parameters.get("properties", {}).items()
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
    properties = schema.parameters.get("properties", {})
    values = {name: value for name, value in given.items() if value is not None}
    for name, value in values.items():
        if name not in properties:
            known = ", ".join(properties) or "none: it has no parameters"
            raise ParameterError(f"{schema.name}: {name}", shortened(value), known)
    _check(schema, values)
    return values


def _check(schema: OperationSchema, values: Mapping[str, Any]) -> None:
    from jsonschema import Draft202012Validator  # it takes 0.1 s to import

    properties = schema.parameters.get("properties", {})
    for error in Draft202012Validator(schema.parameters).iter_errors(_as_json(values)):
        if not error.path:  # a property is missing
            name = next(each for each in schema.parameters["required"] if each not in values)
            raise ParameterError(f"{schema.name}: {name}", "not given", allowed(properties[name]))
        name = str(error.path[0])
        found = shortened(values[name])
        raise ParameterError(f"{schema.name}: {name}", found, allowed(properties[name]))


def _as_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _as_json(each) for name, each in value.items()}
    return [_as_json(each) for each in value] if isinstance(value, list | tuple) else value


def value_from_text(name: str, text: Any, schema: Mapping[str, Any]) -> Any:
    """Return a parameter's value as JSON. A text is read by the schema, other values are returned.

    Args:
        name: the parameter, for the error.
        text: `800`, `true`, `20,-5`, or JSON for a value with structure.
        schema: the JSON schema of the parameter.

    Raises:
        ParameterError: the text is not such a value.
    """
    inner = without_null(schema)
    if not isinstance(text, str) or inner.get("type") == "string" or "enum" in inner or not inner:
        return text
    try:
        if "prefixItems" in inner:
            return [json.loads(each) for each in text.split(",")]
        return json.loads(text)
    except ValueError:
        raise ParameterError(name, repr(text), allowed(schema)) from None


def allowed(schema: Mapping[str, Any]) -> str:
    """Return the values that a parameter's schema allows, in words: "a number, 0 to 1"."""
    schema = without_null(schema)
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    match schema.get("type"):
        case "boolean":
            return "true or false"
        case "integer":
            return "a whole number" + _range(schema)
        case "number":
            return "a number" + _range(schema)
        case "string":
            pattern = schema.get("pattern")
            return pattern_in_words(pattern) if pattern else "text"
        case "array" if "prefixItems" in schema:
            items = schema["prefixItems"]
            return f"{len(items)} values: " + "; ".join(dict.fromkeys(map(allowed, items)))
    return "see its description"


def _range(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if (low, high) == (PIXELS_MIN, PIXELS_MAX):  # bounds that nobody reaches
        return ""
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f", {low} to {high}"
    words = {"of at least": low, "above": above, "of at most": high, "below": below}
    found = [f"{word} {value}" for word, value in words.items() if value is not None]
    return f" {' and '.join(found)}" if found else ""


def without_null(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of an optional parameter's values, which may be left out."""
    others = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    return {**schema, **others[0]} if len(others) == 1 else schema
