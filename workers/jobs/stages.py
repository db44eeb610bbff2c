"""The operations that a job runs on each item: one, or the steps of a pipeline."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agewell.shared.errors import AgewellError, BadJobError, ParameterError
from agewell.shared.protocol.messages import (
    ImageRef,
    Item,
    Job,
    PipelineJob,
    Step,
    images_of,
    primary_image,
)
from agewell.shared.protocol.operations import ImageInput, flowing_input
from agewell.shared.settings import Settings
from agewell.shared.text.printable import printable
from agewell.workers.jobs.job_classes import find_operation, step_class
from agewell.workers.operations.declaration import Operation

_OP_MAX_CHARS = 48


@dataclass(frozen=True)
class Stage:
    """One operation with its parameters and images.

    Attributes:
        operation: the operation.
        parameters: the values of its parameters.
        references: the images by role that are the same for all items.
        flowing: the role of the image that comes from the stage before, or from the item of a
            pipeline. None: the images of the item have roles themselves.
        title: the name for error messages, such as "step 2 (resize)". Empty for a single operation.
    """

    operation: Operation
    parameters: Job | Step
    references: Mapping[str, ImageRef]
    flowing: str | None = None
    title: str = ""

    def references_of(self, item: Item) -> dict[str, ImageRef]:
        """Return the stored images of the first stage by role."""
        if self.flowing is None:
            return images_of(item) | dict(self.references)
        return {**self.references, self.flowing: primary_image(item)}

    def named(self, error: AgewellError) -> AgewellError:
        """Add the step to the text of an error."""
        if not self.title:
            return error
        fields = [each.name for each in dataclasses.fields(error)]
        field = "parameter" if isinstance(error, ParameterError) else "reason"
        changed: dict[str, Any] = {}
        if field in fields:
            changed[field] = f"{self.title}: {getattr(error, field)}"
        elif "name" in fields:
            changed["name"] = f"{vars(error)['name']} in {self.title}"
        return dataclasses.replace(error, **changed)


def stages_of(job: Job, settings: Settings) -> tuple[Stage, ...]:
    """Return the stages of a job.

    Raises:
        BadJobError: a step of a pipeline is no operation of this worker, or its images or
            parameters are not allowed. The error names the step.
    """
    if isinstance(job, PipelineJob):
        return tuple(_steps(job, settings))
    operation = find_operation(job.op, settings.operations)
    return (Stage(operation, job, _references(operation.schema.shared_inputs, job)),)


def _steps(job: PipelineJob, settings: Settings) -> Iterator[Stage]:
    for number, raw in enumerate(job.steps, 1):
        title = f"step {number} ({printable(raw.op[:_OP_MAX_CHARS])})"
        try:
            operation = find_operation(raw.op, settings.operations)
            step = step_class(operation)(**raw.model_dump(exclude_unset=True))
            references = _references(operation.schema.inputs, step)
            flowing = flowing_input(operation.schema, references)
        except BadJobError as error:
            raise BadJobError(f"{title}: {error.reason}") from None
        yield Stage(operation, step, references, flowing, title)


def _references(inputs: Iterable[ImageInput], holder: Job | Step) -> dict[str, ImageRef]:
    """Return the images by role that a job or a step gives."""
    found = {each.name: getattr(holder, each.name) for each in inputs}
    return {role: ref for role, ref in found.items() if ref is not None}
