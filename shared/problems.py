"""Plain English for what pydantic finds wrong: the first problem of a document or of a setting."""

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
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "too_short": "must have a length of at least {min_length}, not {actual_length}",
    "too_long": "must have a length of at most {max_length}, not {actual_length}",
    "dict_type": "must be an object: names with values",
    "mapping_type": "must be an object: names with values",
    "model_type": "must be an object: names with values",
    "model_attributes_type": "must be an object: names with values",
    "dataclass_type": "must be an object: names with values",
    "union_tag_not_found": "must have {discriminator}, to say what it is",
    "union_tag_invalid": "has {discriminator} {tag!r}, which must be one of {expected_tags}",
    "json_invalid": "must be JSON: {error}",
    "json_type": "must be JSON",
    "recursion_loop": "must not contain itself",
    "value_error": "{error}",
    "assertion_error": "{error}",
}
"""By pydantic's name for the kind of error; filled in with the error's own values."""


@dataclass(frozen=True)
class Problem:
    """The first thing wrong with a value, and how many more are."""

    place: tuple[str, ...]
    """The way to it from the outermost value: names of fields and positions in lists."""
    reason: str
    """A phrase to put behind the place: "must be at least 1"."""
    found: str
    """The value there as Python writes it, shortened; empty if it adds nothing to the reason."""
    more: int

    def line(self, whole: str = "") -> str:
        """One line for people.

        Args:
            whole: what to call the outermost value, such as "the message".
        """
        place = ".".join(self.place) or whole
        what = f"{place}: {self.reason}" if place else self.reason
        found = f", found {self.found}" if self.found else ""
        more = f" (and {self.more} more)" if self.more else ""
        return f"{what}{found}{more}"


def first_problem(error: ValidationError) -> Problem:
    """The first problem that pydantic found, in words of ours."""
    problems = error.errors(include_url=False)
    first = problems[0]
    kind, place = first["type"], tuple(map(_printable, first["loc"]))
    told = kind == "missing" or (kind == "value_error" and not place)
    return Problem(
        place=place,
        reason=_reason(kind, first.get("ctx", {}), first["msg"]),
        found="" if told else _short(repr(first["input"])),
        more=len(problems) - 1,
    )


def _reason(kind: str, values: dict[str, Any], pydantics: str) -> str:
    """A phrase for one kind of error; pydantic's own for the few that are not in the table."""
    if kind not in _REASONS:
        return pydantics[:1].lower() + pydantics[1:]
    short = {name: f"{v:g}" if isinstance(v, float) else v for name, v in values.items()}
    return _REASONS[kind].format(**short)


def _printable(part: int | str) -> str:
    """A part of a place; its sender chose the name, which may hold what a terminal obeys."""
    text = str(part)
    return _short(text if text.isprintable() else repr(text))


def _short(text: str) -> str:
    return text if len(text) <= FOUND_MAX_CHARS else text[: FOUND_MAX_CHARS - 3] + "..."
