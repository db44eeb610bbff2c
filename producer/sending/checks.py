"""Makes jobs of operations by their schemas, and checks jobs before they are sent."""

from collections.abc import Iterable, Mapping
from typing import Any

from agewell.producer.sending.offered import OfferedSchemas
from agewell.producer.sending.pipelines import check_steps
from agewell.shared.errors import BadJobError
from agewell.shared.protocol.messages import (
    GenericItem,
    GenericJob,
    ImageRef,
    Job,
    Output,
    PipelineJob,
)
from agewell.shared.protocol.operations import OperationSchema
from agewell.shared.protocol.parameters import check_parameters, complete_parameters


def make_job(
    schema: OperationSchema,
    items: Iterable[Mapping[str, Any]],
    output: Output,
    given: Mapping[str, Any],
) -> GenericJob:
    """Make a job of an operation.

    Args:
        schema: the operation.
        items: the images of each item by role, and optionally its `output_name`.
        output: the format of the results.
        given: the parameters, and the images that all items share.

    Raises:
        ParameterError: a parameter is missing, unknown or not allowed.
        BadJobError: an image is missing or unknown.
    """
    roles = {each.name for each in schema.shared_inputs}
    images = {name: value for name, value in given.items() if name in roles}
    rest = {name: value for name, value in given.items() if name not in roles}
    parameters = complete_parameters(schema, rest)
    made = tuple(GenericItem(**each) for each in items)
    job = GenericJob(op=schema.name, items=made, output=output, **images, **parameters)
    _check_images(job, schema)
    return job


def check_job(job: Job, schemas: OfferedSchemas) -> None:
    """Check a job that is not checked by its class: of a user's operation, or of a pipeline.

    Raises:
        ParameterError: no running worker offers the operation, or a parameter is not allowed.
        BadJobError: an image is missing, or a step of a pipeline is not allowed.
    """
    if isinstance(job, PipelineJob):
        check_steps(job.steps, schemas)
    if not isinstance(job, GenericJob):
        return
    schema = schemas.find(job.op)
    roles = {each.name for each in schema.shared_inputs}
    extra = job.model_extra or {}
    check_parameters(schema, {name: each for name, each in extra.items() if name not in roles})
    _check_images(job, schema)


def _check_images(job: GenericJob, schema: OperationSchema) -> None:
    for each in schema.shared_inputs:
        if each.required and not isinstance((job.model_extra or {}).get(each.name), ImageRef):
            raise BadJobError(f"{schema.name}: the image {each.name} is missing")
    known = {each.name for each in schema.item_inputs}
    required = {each.name for each in schema.item_inputs if each.required}
    for number, item in enumerate(job.items, 1):
        found = {name for name, value in (item.model_extra or {}).items() if value is not None}
        for name in sorted(required - found):
            raise BadJobError(f"item {number} of {schema.name}: the image {name} is missing")
        for name in sorted(found - known):
            roles = ", ".join(sorted(known))
            raise BadJobError(f"item {number} of {schema.name}: no image {name}; it has {roles}")
