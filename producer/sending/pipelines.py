"""Plans the steps of a pipeline: checks their parameters, and finds the files that they name."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from agewell.producer.sending.files import LocalFile, reason_of
from agewell.producer.sending.listing import only_file
from agewell.producer.sending.offered import OfferedSchemas
from agewell.shared.errors import BadFileError, BadJobError, ParameterError
from agewell.shared.protocol.messages import ImageRef, Step
from agewell.shared.protocol.operations import OperationSchema, flowing_input, free_inputs
from agewell.shared.protocol.parameters import check_parameters
from agewell.shared.protocol.pipelines import (
    StepText,
    parameter_values,
    parse_steps,
    steps_of_document,
)
from agewell.shared.text.problems import shortened

SUFFIXES = (".yaml", ".yml")
FILE_MAX_BYTES = 2**20


@dataclass(frozen=True)
class PlannedStep:
    """One step: its operation, its parameters, and the files of its images by role."""

    op: str
    parameters: Mapping[str, Any]
    files: Mapping[str, LocalFile] = field(default_factory=dict)


def plan_steps(text: str, schemas: OfferedSchemas) -> list[PlannedStep]:
    """Plan the steps of a pipeline.

    Args:
        text: the steps in one line, or the path of a YAML file. Files that a YAML file names are
            relative to its folder.
        schemas: finds the schemas of operations.

    Raises:
        ParameterError: a step is not allowed. The error names the step.
        BadFileError: the YAML file, or the file of an image, cannot be read.
    """
    folder, steps = _read(text)
    return [_planned(number, each, folder, schemas) for number, each in enumerate(steps, 1)]


def _read(text: str) -> tuple[Path, list[StepText]]:
    path = Path(text)
    if not text.endswith(SUFFIXES) or (set("|=") & set(text) and not path.is_file()):
        return Path(), parse_steps(text)
    try:
        with path.open("rb") as file:
            document = yaml.safe_load(file.read(FILE_MAX_BYTES).decode())
    except OSError as error:
        raise BadFileError(text, reason_of(error)) from None
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise BadFileError(text, f"no YAML: {reason}") from None
    return path.parent, steps_of_document(document)


def _planned(number: int, step: StepText, folder: Path, schemas: OfferedSchemas) -> PlannedStep:
    try:
        schema = schemas.find(step.op)
        roles = [each.name for each in schema.inputs if each.name in step.values]
        _check_roles(schema, roles)
        files = {role: _one_file(f"{step.op}: {role}", folder, step.values[role]) for role in roles}
        parameters = check_parameters(schema, parameter_values(step, schema))
    except ParameterError as error:
        title = f"step {number}, {error.parameter}"
        raise ParameterError(title, error.found, error.allowed) from None
    except BadFileError as error:
        raise BadFileError(f"step {number}, {step.op}: {error.path}", error.reason) from None
    return PlannedStep(schema.name, parameters, files)


def _check_roles(schema: OperationSchema, roles: Sequence[str]) -> None:
    """Check that a step gives the images of its operation, but for the one that it works on.

    Raises:
        ParameterError: it gives one too many, or too few.
    """
    free = free_inputs(schema, roles)
    if not free:
        given = " and ".join(roles)
        less = "one image less: that one is the result of the step before"
        raise ParameterError(schema.name, f"given every image ({given})", less)
    if len(free) > 1:
        raise ParameterError(f"{schema.name}: {free[1]}", "not given", "the path of an image")


def _one_file(title: str, folder: Path, value: Any) -> LocalFile:
    if not isinstance(value, str):
        raise ParameterError(title, shortened(value), "the path of an image")
    return only_file(str(folder / value) if value else "", title)


def check_steps(steps: Sequence[Step], schemas: OfferedSchemas) -> None:
    """Check the steps of a pipeline by the schemas of their operations.

    Raises:
        BadJobError: an operation is unknown, or an image or a parameter is not allowed. The error
            names the step.
    """
    for number, step in enumerate(steps, 1):
        values = step.model_dump(mode="python", exclude_unset=True, exclude={"op"})
        try:
            schema = schemas.find(step.op)
            given = set(_images_in(schema, step))
            check_parameters(schema, {k: v for k, v in values.items() if k not in given})
            flowing_input(schema, given)
        except ParameterError as error:
            raise BadJobError(f"step {number}, {error}") from None
        except BadJobError as error:
            raise BadJobError(f"step {number} ({step.op}): {error.reason}") from None


def _images_in(schema: OperationSchema, step: Step) -> Iterator[str]:
    for each in schema.inputs:
        value = getattr(step, each.name, None)
        if isinstance(value, ImageRef | dict):
            yield each.name
