"""An operation as data: its name, its images by role, and the JSON schema of its parameters.

Workers make such a schema from the Python function of an operation. A producer needs only the
schema to check a job and to send it.
"""

import re
from collections.abc import Collection
from typing import Annotated, Any, Final

from pydantic import Field

from agewell.shared.errors import BadJobError
from agewell.shared.protocol.messages import Message
from agewell.shared.protocol.tasks import INFER, PIPELINE

NAME_PATTERN: Final = r"^[a-z][a-z0-9_]{0,47}$"
RESERVED_OPS: Final = frozenset({INFER, PIPELINE})
"""Names of jobs that are not operations."""
RESERVED_FIELDS: Final = frozenset(
    {"schema_version", "op", "items", "output", "output_name", "steps", "context"}
)
"""Fields of every job. No image and no parameter of an operation may have one of these names."""


PIXELS_MIN: Final = -(2**31)
PIXELS_MAX: Final = 2**31 - 1
Pixels = Annotated[int, Field(ge=PIXELS_MIN, le=PIXELS_MAX)]
Offset = tuple[Pixels, Pixels]
"""x and y in pixels."""


class ImageInput(Message):
    """One image that an operation takes."""

    name: str = Field(pattern=NAME_PATTERN, description="its role, such as `mask`")
    required: bool = True
    shared: bool = Field(default=False, description="one image for all items of a job")
    description: str = ""


class OperationSchema(Message):
    """An operation, as a producer must know it to check a job and send it."""

    name: str = Field(pattern=NAME_PATTERN)
    command: str = Field(
        pattern=r"^[a-z][a-z0-9-]{0,47}$", description="its name after `agewell enqueue`"
    )
    summary: str = Field(description="what it does, in one line")
    example: str = Field(default="", description="arguments of its command, for its help")
    inputs: tuple[ImageInput, ...] = Field(
        min_length=1, description="its images, the main one first: results are named after it"
    )
    parameters: dict[str, Any] = Field(
        description="JSON schema of an object with the parameters of the operation"
    )

    @property
    def item_inputs(self) -> tuple[ImageInput, ...]:
        """The images that each item of a job names."""
        return tuple(each for each in self.inputs if not each.shared)

    @property
    def shared_inputs(self) -> tuple[ImageInput, ...]:
        """The images that all items of a job share."""
        return tuple(each for each in self.inputs if each.shared)


def class_name(op: str) -> str:
    """Return the name of an operation's classes: `alpha_blend` becomes `AlphaBlend`."""
    return re.sub(r"(?:^|_)([a-z0-9])", lambda found: found[1].upper(), op)


def free_inputs(schema: OperationSchema, given: Collection[str]) -> list[str]:
    """Return the roles of the images that an operation requires and that a step does not give."""
    return [each.name for each in schema.inputs if each.required and each.name not in given]


def flowing_input(schema: OperationSchema, given: Collection[str]) -> str:
    """Return the role that the result of the step before takes in a step of a pipeline.

    It is the first image that the operation requires and that the step does not give.

    Args:
        schema: the operation of the step.
        given: the roles of the images that the step gives.

    Raises:
        BadJobError: the step gives every image, or too few.
    """
    free = free_inputs(schema, given)
    if not free:
        raise BadJobError(
            f"every image of {schema.name} is given; leave the one out that the step before makes"
        )
    if len(free) > 1:
        missing = ", ".join(free[1:])
        raise BadJobError(f"an image is missing: {missing}")
    return free[0]
