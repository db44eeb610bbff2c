"""Messages as frozen, versioned JSON models: jobs to the workers, and their results.

A job is one operation on 1 to 64 items. It refers to images by `ImageRef`. Their bytes are in the
blob store, or inside the reference as a `data:` URI if they are at most 32 KiB.
"""

from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    SerializeAsAny,
    ValidationError,
    model_validator,
)

from agewell.shared.errors import AgewellError, BadJobError
from agewell.shared.protocol.formats import FORMATS, Effort, Format, ImageMediaType
from agewell.shared.protocol.output_names import NAME_MAX_CHARACTERS
from agewell.shared.text.printable import printable
from agewell.shared.text.problems import first_problem, shortened

SCHEMA_VERSION: Final = 1
MAX_ITEMS: Final = 64
MAX_STEPS: Final = 32
INLINE_MAX_BYTES: Final = 32 * 1024

MediaType = ImageMediaType | Literal["application/x-npz"]
"""Media types of a worker's files: images, and numpy archives of tapped intermediates."""

FileName = Annotated[
    str, Field(min_length=1, max_length=NAME_MAX_CHARACTERS), AfterValidator(printable)
]


class Message(BaseModel):
    """Base of all messages. Instances are frozen, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, **values: Any) -> None:
        """Build a message from its fields.

        Raises:
            BadJobError: a value is missing or not allowed.
        """
        try:
            super().__init__(**values)
        except ValidationError as error:
            reason = first_problem(error).line(type(self).__name__)
            raise BadJobError(reason) from None

    # Messages within messages are checked by pydantic as usual, without a call of this __init__.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]


class ImageRef(Message):
    """Reference to the encoded bytes of one image: their location, hash and size."""

    uri: str = Field(
        min_length=1,
        # A data: URI of INLINE_MAX_BYTES in base64, and its prefix.
        max_length=64 + INLINE_MAX_BYTES * 4 // 3 + 4,
        description="redis:<sha256>, store:<sha256>[+offset], or data:<media type>;base64,<bytes>",
    )
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="of the encoded bytes")
    size_bytes: int = Field(ge=0, le=2**53, description="of the encoded bytes")
    media_type: MediaType
    name: FileName = Field(
        default="image",
        description="the caller's name for the image, for messages and output files. It is never "
        "opened. Control characters in it become escapes",
    )


class Output(Message):
    """Format and quality of the resulting images."""

    format: Format = "png"
    quality: int | None = Field(
        default=None,
        ge=1,
        le=100,
        description="for JPEG and WebP only. Unset: 95 for JPEG, and lossless WebP",
    )

    effort: Effort | None = Field(
        default=None,
        description="for PNG only. Unset: `fast`. `small` takes twenty times as long, and saves 10 "
        "to 30 % of the bytes",
    )

    @model_validator(mode="after")
    def _check_format_has_quality(self) -> Self:
        if self.quality is not None and not FORMATS[self.format].has_quality:
            raise ValueError(f"{self.format} has no quality: it is lossless")
        if self.effort is not None and self.format != "png":
            raise ValueError(f"{self.format} has no effort: only PNG has")
        return self


OutputName = Annotated[
    FileName | None,
    Field(description="the result's name. Unset: made from the name of the item's main image"),
]


class Item(Message):
    """Base of the items of all jobs. A subclass has a field for each image, the main one first."""

    output_name: OutputName = None


class Job(Message):
    """Base of all jobs: one operation, with its parameters as fields, on 1 to 64 items."""

    schema_version: Literal[1] = SCHEMA_VERSION
    op: str
    items: tuple[Item, ...] = Field(min_length=1, max_length=MAX_ITEMS)
    output: Output = Output()


Integer = Annotated[int, Field(ge=-(2**53), le=2**53)]
"""Integers that every JSON parser reads as the same number."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Colour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]


class InferItem(Item):
    """One image to run a model on."""

    image: ImageRef


class InferJob(Job):
    """Run a model on each image. The result is a picture, or values such as classes."""

    op: Literal["infer"] = "infer"
    items: tuple[InferItem, ...] = Field(min_length=1, max_length=MAX_ITEMS)
    model: Name
    version: Name | None = Field(default=None, description="unset: the active version")
    palette: tuple[Colour, ...] = Field(
        default=(), max_length=MAX_ITEMS, description="colours to use, as #rrggbb"
    )
    reference: ImageRef | None = Field(default=None, description="a photo whose colours to use")
    tap: str | None = Field(
        default=None,
        max_length=256,
        description="an intermediate of the model to return with the result",
    )
    parameters: dict[str, str | Integer | FiniteFloat | bool] = Field(
        default_factory=dict, description="parameters that the model defines"
    )


AnyJob = TypeVar("AnyJob", bound=Job)


class PipelineItem(Item):
    """One image to run the steps on."""

    image: ImageRef


class Step(Message):
    """One step of a pipeline: an operation, its parameters, and its images but for one.

    The image that it leaves out is the result of the step before.
    """

    model_config = ConfigDict(extra="allow")

    op: str


class PipelineJob(Job):
    """Run several operations on each image. It is decoded once and encoded once."""

    op: Literal["pipeline"] = "pipeline"
    items: tuple[PipelineItem, ...] = Field(min_length=1, max_length=MAX_ITEMS)
    steps: tuple[SerializeAsAny[Step], ...] = Field(min_length=1, max_length=MAX_STEPS)


class GenericItem(Item):
    """An item of any operation: every further field is an image."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, ImageRef | None]


class GenericJob(Job):
    """A job of any operation. Its parameters are further fields, which nobody has checked yet."""

    model_config = ConfigDict(extra="allow")

    items: tuple[GenericItem, ...] = Field(min_length=1, max_length=MAX_ITEMS)


def images_of(item: Item) -> dict[str, ImageRef]:
    """Return the images of an item by role, the main one first."""
    fields = (*type(item).model_fields, *(item.model_extra or {}))
    found = {name: getattr(item, name) for name in fields}
    return {name: value for name, value in found.items() if isinstance(value, ImageRef)}


def primary_image(item: Item) -> ImageRef:
    """Return the main image of an item, after which its result is named."""
    return next(iter(images_of(item).values()))


def read_job(document: Any, job_class: type[AnyJob]) -> AnyJob:
    """Read a job from JSON text or JSON values.

    Raises:
        BadJobError: it is not a valid job of this class. The error names the field and the reason.
    """
    if isinstance(document, dict):
        version = document.get("schema_version", SCHEMA_VERSION)
        if version != SCHEMA_VERSION:
            found = shortened(version)
            raise BadJobError(
                f"schema_version is {found}; this worker reads {SCHEMA_VERSION}. Install the same "
                "version of agewell where jobs are sent and where they run"
            )
    try:
        return (
            job_class.model_validate_json(document)
            if isinstance(document, str | bytes)
            else job_class.model_validate(document, strict=False)
        )
    except ValidationError as error:
        raise BadJobError(first_problem(error).line("the message")) from None


class ErrorInfo(Message):
    """An error as JSON: its class, its text, and its fields in the order of the class."""

    code: str
    message: str
    values: tuple[Any, ...] = ()

    @classmethod
    def of(cls, error: AgewellError) -> Self:
        """Build the document of an error."""
        return cls(code=error.code, message=str(error), values=error.args)


class ItemResult(Message):
    """Result of one item: an image, a model's prediction, or an error."""

    image: ImageRef | None = None
    error: ErrorInfo | None = None
    prediction: dict[str, Any] | None = Field(
        default=None, description="JSON values that a model returned, such as classes or boxes"
    )
    extras: tuple[ImageRef, ...] | None = Field(
        default=None,
        description="further files: a tapped intermediate and its picture, or the crops of boxes",
    )
    info: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="values that the operation reports with the image"
    )


class JobResult(Message):
    """Result of a job: the results of its items, in their order."""

    schema_version: Literal[1] = SCHEMA_VERSION
    op: str
    items: tuple[ItemResult, ...]
