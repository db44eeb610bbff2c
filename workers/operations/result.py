"""The full result of an operation: its image, facts about it, and metadata for its file."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agewell.workers.imaging.image import Image
from agewell.workers.imaging.metadata import Metadata

Info = Mapping[str, str | int | float | bool]
"""Facts about one result, such as the number of iterations."""


@dataclass(frozen=True, eq=False)
class Result:
    """An operation may return this instead of an image.

    Attributes:
        image: the image.
        info: facts about it, which the result of the job tells.
        metadata: EXIF and XMP for the file. None writes none.
    """

    image: Image
    info: Info = field(default_factory=dict)
    metadata: Metadata | None = None
