"""Pipelines as text: `resize width=1600 | watermark image=logo.png opacity=0.4 | sharpen`.

Words are separated and quoted as in a shell. The same steps may be given as YAML.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from agewell.shared.errors import ParameterError
from agewell.shared.protocol.messages import MAX_STEPS, ImageRef, Step
from agewell.shared.protocol.operations import OperationSchema
from agewell.shared.protocol.parameter_text import value_from_text
from agewell.shared.protocol.parameters import properties_of
from agewell.shared.text.problems import shortened

PARAMETER = "the pipeline"


@dataclass(frozen=True)
class StepText:
    """One step as a user writes it: the operation, and a text or a value for each name."""

    op: str
    values: Mapping[str, Any]


def parse_steps(text: str) -> list[StepText]:
    """Parse the steps of a pipeline from one line of text.

    Raises:
        ParameterError: a step is empty, a name has no value, or a quotation mark is missing.
    """
    try:
        lexer = shlex.shlex(text, posix=True, punctuation_chars="|")
        lexer.whitespace_split = True
        lexer.commenters = ""
        words = list(lexer)
    except ValueError as error:
        raise ParameterError(PARAMETER, shortened(text), f"closed quotes ({error})") from None
    return _checked_number([_step(n, each, text) for n, each in enumerate(_split(words), 1)])


def _split(words: Iterable[str]) -> Iterator[list[str]]:
    step: list[str] = []
    for word in words:
        if word.strip("|"):
            step.append(word)
        else:
            for _ in word:
                yield step
                step = []
    yield step


def _step(number: int, words: list[str], text: str) -> StepText:
    if not words or "=" in words[0]:
        found = f"{shortened(text)}, with a step that names no operation"
        raise ParameterError(PARAMETER, found, "steps such as resize width=800, separated by |")
    values: dict[str, Any] = {}
    for word in words[1:]:
        name, is_given, value = word.partition("=")
        if name in values:
            raise ParameterError(f"step {number}, {words[0]}: {name}", "given twice", "one value")
        values[name] = value if is_given else True
    return StepText(words[0], values)


def steps_of_document(document: Any) -> list[StepText]:
    """Read the steps of a pipeline from the values of a YAML or JSON document.

    A step is a name (`sharpen`), a name with its parameters (`resize: {width: 800}`), or an object
    with `op` and the parameters, as in messages.

    Raises:
        ParameterError: the document is no list of such steps, or a parameter has no value.
    """
    if isinstance(document, dict) and set(document) == {"steps"}:
        document = document["steps"]
    if not isinstance(document, list):
        raise ParameterError(PARAMETER, shortened(document), "a list of steps")
    return _checked_number([_step_of(n, each) for n, each in enumerate(document, 1)])


def _step_of(number: int, document: Any) -> StepText:
    if isinstance(document, str):
        return StepText(document, {})
    if isinstance(document, dict) and all(isinstance(each, str) for each in document):
        values = dict(document)
        op = values.pop("op", None)
        if op is None and len(values) == 1:
            op, values = next(iter(values.items()))
        if isinstance(op, str) and isinstance(values, dict | None):
            return StepText(op, _given(f"step {number}, {op}", values or {}))
    found = shortened(document)
    raise ParameterError(f"step {number}", found, "a step such as `resize: {width: 800}`")


def _given(step: str, values: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in values.items():
        if value is None:  # YAML reads `background: #ffffff` as a comment
            raise ParameterError(f"{step}: {name}", "empty", "a value; put quotes around a #")
    return {
        name: value.isoformat() if isinstance(value, date) else value
        for name, value in values.items()
    }


def _checked_number(steps: list[StepText]) -> list[StepText]:
    if not 1 <= len(steps) <= MAX_STEPS:
        raise ParameterError(PARAMETER, f"{len(steps)} steps", f"1 to {MAX_STEPS} steps")
    return steps


def parameter_values(step: StepText, schema: OperationSchema) -> dict[str, Any]:
    """Return the parameters of a step, without its images. Texts are read by the schema.

    Raises:
        ParameterError: a text is not a value of the parameter's type.
    """
    roles = {each.name for each in schema.inputs}
    properties = properties_of(schema)
    return {
        name: value_from_text(f"{step.op}: {name}", value, properties.get(name, {}))
        for name, value in step.values.items()
        if name not in roles
    }


def step_as_text(step: Step) -> str:
    """Return a step as a user would write it, with the names of its images."""
    words = [step.op]
    for name, value in step:  # its fields, in their order, and then the additional ones
        if name != "op" and name in step.model_fields_set and value is not None:
            words.append(f"{name}={shlex.quote(_as_text(value))}")
    return " ".join(words)


def _as_text(value: Any) -> str:
    match value:
        case ImageRef():
            return value.name
        case {"uri": _}:
            return str(value.get("name", "image"))
        case list() | tuple():
            return ",".join(map(str, value))
        case bool():
            return str(value).lower()
    return str(value)
