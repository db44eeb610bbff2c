"""An operation as data: its name, its images by role, and the JSON schema of its parameters.

Workers make such a schema from the Python function of an operation. A producer needs only the
schema to check a job and to send it.
"""

import re
from typing import Any, Final

from pydantic import Field

from agewell.shared.protocol.messages import Message

NAME_PATTERN: Final = r"^[a-z][a-z0-9_]{0,47}$"
RESERVED_OPS: Final = frozenset({"infer", "pipeline"})
"""Names of jobs that are not operations."""
RESERVED_FIELDS: Final = frozenset(
    {"schema_version", "op", "items", "output", "output_name", "steps", "context"}
)
"""Fields of every job. No image and no parameter of an operation may have one of these names."""


class ImageInput(Message):
    """One image that an operation takes."""

    name: str = Field(pattern=NAME_PATTERN, description="its role, such as `mask`")
    required: bool = True
    shared: bool = Field(default=False, description="one image for all items of a job")
    description: str = ""


class OperationSchema(Message):
    """What a producer must know about an operation."""

    name: str = Field(pattern=NAME_PATTERN)
    command: str = Field(
        pattern=r"^[a-z][a-z0-9-]{0,47}$", description="its name after `agewell enqueue`"
    )
    summary: str = Field(description="what it does, in one line")
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
