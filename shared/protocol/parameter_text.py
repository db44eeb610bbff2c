"""Parameters of operations as text: reads values by their JSON schema, and describes them.

Schemas are those of `properties_of`, which contain no references.
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from agewell.shared.errors import ParameterError
from agewell.shared.text.problems import pattern_in_words, shortened

_SCALARS = ("boolean", "integer", "number", "string")
_FORMATS = {
    "date": "a date such as 2026-01-31",
    "date-time": "a time such as 2026-01-31T12:30:00Z",
    "time": "a time of day such as 12:30:00",
    "duration": "a duration such as PT1H30M",
}


def value_from_text(name: str, text: Any, schema: Mapping[str, Any]) -> Any:
    """Return a parameter's value as JSON. A text is read by the schema, other values are returned.

    Args:
        name: the parameter, for the error.
        text: `800`, `true`, `20,-5`, or JSON for a value with structure.
        schema: the JSON schema of the parameter.

    Raises:
        ParameterError: the text is not such a value.
    """
    if not isinstance(text, str):
        return text
    try:
        return _parsed(text, schema)
    except (ValueError, RecursionError):
        raise ParameterError(name, shortened(text), allowed(schema)) from None


def _parsed(text: str, schema: Mapping[str, Any]) -> Any:
    kind, choices = schema.get("type"), choices_of(schema)
    if choices:
        return next((each for each in choices if choice_as_text(each) == text), text)
    if kind == "string":
        return text
    if is_short_list(schema) and not text.lstrip().startswith("["):
        return _short_list(text, schema)
    try:
        return json.loads(text)
    except ValueError:
        if kind == "number":
            return float(text)  # .5
        if kind == "integer":
            return int(text)  # +5
        if kind is None and _takes_text(schema):
            return text
        raise


def _short_list(text: str, schema: Mapping[str, Any]) -> list[Any]:
    parts = text.split(",") if text else []
    kinds = schema.get("prefixItems", ())
    pairs = itertools.zip_longest(parts, kinds, fillvalue=schema.get("items") or {})
    return [_parsed(part, each) for part, each in pairs if isinstance(part, str)]


def _takes_text(schema: Mapping[str, Any]) -> bool:
    options = schema.get("anyOf")
    return options is None or any(each.get("type", "string") == "string" for each in options)


def choices_of(schema: Mapping[str, Any]) -> Sequence[Any]:
    """Return the values of a parameter that allows only some. Empty if it allows others."""
    if "const" in schema:
        return [schema["const"]]
    return list(schema.get("enum", ()))


def choice_as_text(value: Any) -> str:
    """Return a choice as it is typed: without quotes if it is text, else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def is_short_list(schema: Mapping[str, Any]) -> bool:
    """Return True if a value is a list of numbers or words, typed with commas: `20,-5`."""
    kinds = schema.get("prefixItems") or [schema.get("items") or {}]
    is_list = schema.get("type") == "array"
    return is_list and all(each.get("type") in _SCALARS or choices_of(each) for each in kinds)


def allowed(schema: Mapping[str, Any]) -> str:
    """Return the values that a parameter's schema allows, in words: "a number, 0 to 1"."""
    choices = choices_of(schema)
    if choices:
        return ", ".join(map(choice_as_text, choices))
    match schema.get("type"):
        case "boolean":
            return "true or false"
        case "integer":
            return "a whole number" + _range(schema)
        case "number":
            return "a number" + _range(schema)
        case "string":
            return _text(schema)
        case "array":
            return _list(schema)
        case "object":
            names = ", ".join(schema.get("properties", ()))
            return f"a JSON object with {names}" if names else "a JSON object"
    options = [allowed(each) for each in schema.get("anyOf", ())]
    return " or ".join(dict.fromkeys(options)) or "see its description"


def _range(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    multiple = f", a multiple of {schema['multipleOf']}" if "multipleOf" in schema else ""
    if low is not None and high is not None:
        return f", {low} to {high}{multiple}"
    words = {"of at least": low, "above": above, "of at most": high, "below": below}
    found = [f"{word} {value}" for word, value in words.items() if value is not None]
    return (f" {' and '.join(found)}" if found else "") + multiple


def _text(schema: Mapping[str, Any]) -> str:
    if "pattern" in schema:
        return pattern_in_words(schema["pattern"])
    if "format" in schema:
        return _FORMATS.get(schema["format"], f"text, as {schema['format']}")
    return "text" + _length(schema, "Length", "characters")


def _list(schema: Mapping[str, Any]) -> str:
    if "prefixItems" in schema:
        items = schema["prefixItems"]
        return f"{len(items)} values: " + "; ".join(dict.fromkeys(map(allowed, items)))
    different = ", all different" if schema.get("uniqueItems") else ""
    each = f", each {allowed(schema['items'])}" if schema.get("items") else ""
    return "a list" + _length(schema, "Items", "values") + different + each


def _length(schema: Mapping[str, Any], name: str, unit: str) -> str:
    low, high = schema.get(f"min{name}"), schema.get(f"max{name}")
    if low is not None and high is not None:
        return f" of {low} to {high} {unit}"
    if low is not None:
        return f" of at least {low} {unit}"
    return f" of at most {high} {unit}" if high is not None else ""
