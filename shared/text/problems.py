"""Pydantic's errors in plain English: the first problem of a document or of a setting."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

FOUND_MAX_CHARS = 80

_REASONS = {
    "missing": "is missing",
    "extra_forbidden": "is not a known name",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of at most 4,300 digits",
    "int_type": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "multiple_of": "must be a multiple of {multiple_of}",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_type": "must be text",
    "string_unicode": "must be text in UTF-8",
    "string_too_short": "must have a length of at least {min_length}",
    "string_too_long": "must have a length of at most {max_length}",
    "string_pattern_mismatch": "must match the pattern {pattern}",
    "bytes_type": "must be bytes",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "none_required": "must be null",
    "invalid_key": "must have text as its name",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "too_short": "must have a length of at least {min_length}, not {actual_length}",
    "too_long": "must have a length of at most {max_length}, not {actual_length}",
    "dict_type": "must be an object: names with values",
    "mapping_type": "must be an object: names with values",
    "model_type": "must be an object: names with values",
    "model_attributes_type": "must be an object: names with values",
    "dataclass_type": "must be an object: names with values",
    "union_tag_not_found": "must have {discriminator}, which says its kind",
    "union_tag_invalid": "has {discriminator} {tag}, which must be one of {expected_tags}",
    "json_invalid": "must be JSON: {error}",
    "json_type": "must be JSON",
    "recursion_loop": "must not contain itself",
    "value_error": "{error}",
    "assertion_error": "{error}",
}
"""Phrases by pydantic's error type. The braces are filled in with the error's values."""

_UNKNOWN_KIND = "is not valid here"

_PATTERNS = {
    r"^[0-9a-f]{64}$": "64 hexadecimal digits in lower case",
    r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$": "1 to 64 letters, digits, '_', '.' or '-', with a letter "
    "or a digit first",
    r"^#[0-9a-fA-F]{6}$": "a colour such as #8fb3d9",
    r"^[^/\\]+$": "a file's name, without a folder",
    r"^[^/\\]+\.onnx$": "the name of an .onnx file, without a folder",
    r"^(\./[\w-]+\.py|[A-Za-z_]\w*(\.[A-Za-z_]\w*)*):[A-Za-z_]\w*$": "package.module:name, or "
    "./file.py:name",
    r"^([A-Za-z_]\w*(\.[A-Za-z_]\w*)*|.*\.py)$": "a module such as my_package.ops, or a file "
    "such as ./ops.py",
    r"^[!-9;-~]+$": "ASCII without spaces and colons",
    r"^[A-Za-z0-9._~/-]*$": "a path of letters, digits, '.', '_', '~' and '-'",
}
"""The patterns of agewell's fields, in words."""

_MEMBER = re.compile(
    r"(constrained-)?(str|int|float|bool|bytes|none)|(literal|tuple|list|dict|function-\w+)\[.*\]",
    re.DOTALL,
)
"""Names that pydantic adds to a field's path to mark one type of a union."""


@dataclass(frozen=True)
class Problem:
    """The first problem of a value, and the number of further ones."""

    place: tuple[str, ...]
    """The path from the outermost value to the problem: field names and positions in lists."""
    reason: str
    """A phrase to put behind the place, such as "must be at least 1"."""
    found: str
    """The value there as Python writes it, shortened. Empty if it adds nothing to the reason."""
    more: int
    """The number of further problems."""

    def line(self, whole: str = "") -> str:
        """Return the problem as one line for people.

        Args:
            whole: a name for the outermost value, such as "the message".
        """
        place = ".".join(self.place) or whole
        sentence = f"{place}: {self.reason}" if place else self.reason
        found = f", found {self.found}" if self.found else ""
        more = f" (and {self.more} more)" if self.more else ""
        return f"{sentence}{found}{more}"


def first_problem(error: ValidationError) -> Problem:
    """Return the first problem that pydantic found, in plain English."""
    problems = error.errors(include_url=False)
    first = problems[0]
    loc, members = _members(problems)
    kind, place = first["type"], tuple(map(_printable, loc))
    reason_says_all = kind == "missing" or (kind == "value_error" and not place)
    return Problem(
        place=place,
        reason=_either([_reason(each["type"], each.get("ctx", {})) for each in members]),
        found="" if reason_says_all else shortened(first["input"]),
        more=len(problems) - len(members),
    )


def _members(problems: Sequence[Any]) -> tuple[tuple[int | str, ...], list[Any]]:
    """Return the first problem's place, and the problems there: one for each type of a union."""
    first = problems[0]
    place = _before_member(first["loc"])
    if place is None:
        return first["loc"], [first]
    return place, [each for each in problems if _before_member(each["loc"]) == place]


def _before_member(loc: tuple[int | str, ...]) -> tuple[int | str, ...] | None:
    """Return the place of a value whose type is a union, or None for any other place."""
    for number, part in enumerate(loc):
        if number and isinstance(part, str) and _MEMBER.fullmatch(part):
            return loc[:number]
    return None


def _either(reasons: list[str]) -> str:
    """Join the phrases for the types of a union into one phrase."""
    start = "must be "
    if len(reasons) == 1 or not all(each.startswith(start) for each in reasons):
        return reasons[0]
    return start + " or ".join(dict.fromkeys(each.removeprefix(start) for each in reasons))


def _reason(kind: str, values: dict[str, Any]) -> str:
    """Return the phrase for one kind of error."""
    if kind not in _REASONS:
        return _UNKNOWN_KIND
    if values.get("pattern") in _PATTERNS:
        return f"must be {_PATTERNS[values['pattern']]}"
    short = {name: f"{v:g}" if isinstance(v, float) else v for name, v in values.items()}
    if "tag" in short:  # the sender's own text
        short["tag"] = shortened(short["tag"])
    return _REASONS[kind].format(**short)


def pattern_in_words(pattern: str) -> str:
    """Return the text that a pattern describes, in words if it is one of agewell's patterns."""
    return _PATTERNS.get(pattern, f"text that matches the pattern {pattern}")


def _printable(part: int | str) -> str:
    """Escape and shorten a part of a place: the sender may put control characters into it."""
    text = str(part)
    return _short(text if text.isprintable() else repr(text))


def shortened(value: Any) -> str:
    """Return a value as Python writes it, cut to at most `FOUND_MAX_CHARS` characters."""
    return _short(repr(value))


def _short(text: str) -> str:
    return text if len(text) <= FOUND_MAX_CHARS else text[: FOUND_MAX_CHARS - 3] + "..."
