"""Messages as frozen, versioned JSON models: jobs to the workers, and their results.

A job is one operation on 1 to 64 items. It refers to images by `ImageRef`. Their bytes are in the
blob store, or inside the reference as a `data:` URI if they are at most 32 KiB.
"""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from agewell.shared.errors import AgewellError, BadJobError
from agewell.shared.protocol.formats import FORMATS, Format, ImageMediaType
from agewell.shared.protocol.output_names import NAME_MAX_CHARACTERS
from agewell.shared.text.printable import printable
from agewell.shared.text.problems import first_problem, shortened

SCHEMA_VERSION: Final = 1
MAX_ITEMS: Final = 64
INLINE_MAX_BYTES: Final = 32 * 1024

MediaType = ImageMediaType | Literal["application/x-npz"]
"""Media types of a worker's files: images, and numpy archives of tapped intermediates."""

PIXELS_MIN: Final = -(2**31)
PIXELS_MAX: Final = 2**31 - 1
Pixels = Annotated[int, Field(ge=PIXELS_MIN, le=PIXELS_MAX)]
Offset = tuple[Pixels, Pixels]


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

    @model_validator(mode="after")
    def _check_format_has_quality(self) -> Self:
        if self.quality is not None and not FORMATS[self.format].has_quality:
            raise ValueError(f"{self.format} has no quality: it is lossless")
        return self


OutputName = Annotated[
    FileName | None,
    Field(description="the result's name. Unset: made from the name of the item's main image"),
]


class HsvItem(Message):
    """One image to convert."""

    image: ImageRef
    output_name: OutputName = None


class AlphaBlendItem(Message):
    """A foreground to blend over a background, with an optional mask."""

    foreground: ImageRef
    background: ImageRef
    mask: ImageRef | None = None
    output_name: OutputName = None


class PoissonBlendItem(Message):
    """A source, the mask of its part to use, and the destination to blend it into."""

    source: ImageRef
    mask: ImageRef
    destination: ImageRef
    output_name: OutputName = None


class _Job(Message):
    schema_version: Literal[1] = SCHEMA_VERSION
    output: Output = Output()


class HsvJob(_Job):
    """Convert images from BGR to HSV."""

    op: Literal["hsv"] = "hsv"
    items: tuple[HsvItem, ...] = Field(min_length=1, max_length=MAX_ITEMS)
    full_range: bool = Field(default=False, description="H from 0 to 255 instead of 0 to 179")


class AlphaBlendJob(_Job):
    """Blend foregrounds over backgrounds. Opacity: alpha x mask x the foreground's own alpha."""

    op: Literal["alpha_blend"] = "alpha_blend"
    items: tuple[AlphaBlendItem, ...] = Field(min_length=1, max_length=MAX_ITEMS)
    alpha: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)
    offset: Offset = Field(
        default=(0, 0), description="(x, y) of the foreground's top left on the background"
    )


class PoissonBlendJob(_Job):
    """Poisson blending: fill the mask from the source's gradients and the destination's border."""

    op: Literal["poisson_blend"] = "poisson_blend"
    items: tuple[PoissonBlendItem, ...] = Field(min_length=1, max_length=MAX_ITEMS)
    gradient: Literal["src", "max", "avg"] = "src"
    mask_on_source: Offset | None = Field(
        default=None,
        description="(x, y) of the mask's top left on the source. Unset: the sizes must be equal",
    )
    mask_on_destination: Offset = Field(
        default=(0, 0), description="(x, y) of the mask's top left on the destination"
    )


Integer = Annotated[int, Field(ge=-(2**53), le=2**53)]
"""Integers that every JSON parser reads as the same number."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Colour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]


class InferItem(Message):
    """One image to run a model on."""

    image: ImageRef
    output_name: OutputName = None


class InferJob(_Job):
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


Item = HsvItem | AlphaBlendItem | PoissonBlendItem | InferItem
Job = Annotated[HsvJob | AlphaBlendJob | PoissonBlendJob | InferJob, Field(discriminator="op")]


def primary_image(item: Item) -> ImageRef:
    """Return the main image of an item, after which its result is named."""
    match item:
        case HsvItem() | InferItem():
            return item.image
        case AlphaBlendItem():
            return item.foreground
        case PoissonBlendItem():
            return item.source


_JOB: TypeAdapter[Job] = TypeAdapter(Job)


def parse_job(document: Any) -> Job:
    """Parse a job from JSON text or JSON values.

    Raises:
        BadJobError: it is not a valid job. The error names the field and the reason.
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
            _JOB.validate_json(document)
            if isinstance(document, str | bytes)
            else (_JOB.validate_python(document, strict=False))
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
        default=None, description="JSON values that a model returned, such as classes"
    )
    extras: tuple[ImageRef, ...] | None = Field(
        default=None, description="further files: a tapped intermediate, and a picture of it"
    )
    info: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="values that the operation reports with the image"
    )


class JobResult(Message):
    """Result of a job: the results of its items, in their order."""

    schema_version: Literal[1] = SCHEMA_VERSION
    op: str
    items: tuple[ItemResult, ...]
