"""The message classes of the operations that this process runs, made from their declarations."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Literal, cast

from pydantic import BaseModel, Field, create_model

from agewell.shared.errors import BadJobError
from agewell.shared.protocol.messages import (
    MAX_ITEMS,
    GenericJob,
    ImageRef,
    InferJob,
    Item,
    Job,
    PipelineJob,
    Step,
    read_job,
)
from agewell.shared.protocol.operations import ImageInput, class_name
from agewell.shared.protocol.tasks import INFER, PIPELINE
from agewell.shared.text.problems import shortened
from agewell.workers.operations.declaration import Operation
from agewell.workers.operations.registry import load_operations


def parse_job(document: Any, modules: tuple[str, ...] = ()) -> Job:
    """Parse a job of any operation of this process from JSON values.

    Args:
        document: the job.
        modules: the users' modules with operations, as in AGEWELL_OPERATIONS.

    Raises:
        BadJobError: it is not a valid job. The error names the field and the reason.
    """
    op = document.get("op") if isinstance(document, dict) else None
    return read_job(document, job_class(op, modules) if isinstance(op, str) else GenericJob)


def job_class(op: str, modules: tuple[str, ...] = ()) -> type[Job]:
    """Return the class of an operation's jobs.

    Args:
        op: the operation, `pipeline` or `infer`.
        modules: the users' modules with operations, as in AGEWELL_OPERATIONS.

    Raises:
        BadJobError: this worker does not know the operation.
    """
    if op in _OTHERS:
        return _OTHERS[op]
    return _job_class(find_operation(op, modules))


def find_operation(op: str, modules: tuple[str, ...] = ()) -> Operation:
    """Return an operation of this process.

    Raises:
        BadJobError: this worker does not know the operation.
    """
    operations = load_operations(modules).operations
    if op not in operations:
        known = ", ".join(operations)
        raise BadJobError(f"this worker has no operation {shortened(op)}; it has {known}")
    return operations[op]


_OTHERS: dict[str, type[Job]] = {INFER: InferJob, PIPELINE: PipelineJob}


@cache
def _job_class(operation: Operation) -> type[Job]:
    schema = operation.schema
    name = class_name(schema.name)
    item = _make(f"{name}Item", (Item,), _references(schema.item_inputs))
    fields = {
        "op": (Literal[schema.name], schema.name),
        "items": (tuple[item, ...], Field(min_length=1, max_length=MAX_ITEMS)),  # type: ignore[valid-type]
    }
    shared = _references(schema.shared_inputs)
    return cast("type[Job]", _make(f"{name}Job", (operation.parameters, Job), fields | shared))


@cache
def step_class(operation: Operation) -> type[Step]:
    """Return the class of a pipeline's steps that run an operation. Every image is optional."""
    schema = operation.schema
    optional = tuple(each.model_copy(update={"required": False}) for each in schema.inputs)
    fields = {"op": (Literal[schema.name], schema.name)} | _references(optional)
    name = f"{class_name(schema.name)}Step"
    return cast("type[Step]", _make(name, (Step, operation.parameters), fields))


def _make(name: str, bases: tuple[type[BaseModel], ...], fields: Mapping[str, Any]) -> Any:
    return create_model(name, __base__=bases, **fields)


def _references(inputs: Iterable[ImageInput]) -> dict[str, Any]:
    return {
        each.name: (ImageRef, ...) if each.required else (ImageRef | None, None) for each in inputs
    }
