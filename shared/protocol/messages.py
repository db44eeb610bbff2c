"""What travels: jobs to the workers, results back. Frozen, versioned, JSON.

A job is one operation on 1 to 64 items. It refers to its images by `ImageRef`; the bytes lie in
the blob store, or, small ones, ride in the reference itself as a `data:` URI.
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
"""What a worker makes: images, and, where asked for, numpy's archives of arrays."""

PIXELS_MIN: Final = -(2**31)
PIXELS_MAX: Final = 2**31 - 1
Pixels = Annotated[int, Field(ge=PIXELS_MIN, le=PIXELS_MAX)]
Offset = tuple[Pixels, Pixels]


FileName = Annotated[
    str, Field(min_length=1, max_length=NAME_MAX_CHARACTERS), AfterValidator(printable)
]


class Message(BaseModel):
    """The base of everything that travels: frozen, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, **values: Any) -> None:
        """Make one of its fields' values.

        Raises:
            BadJobError: a value is not allowed, or is missing.
        """
        try:
            super().__init__(**values)
        except ValidationError as error:
            reason = first_problem(error).line(type(self).__name__)
            raise BadJobError(reason) from None

    # Messages within messages are checked by pydantic as usual, without a call of this __init__.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]


class ImageRef(Message):
    """Where the encoded bytes of one image lie, and what they must hash to."""

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
        description="the caller's name for it, for messages and output files; never opened; "
        "control characters in it are written as escapes",
    )


class Output(Message):
    """How results are encoded."""

    format: Format = "png"
    quality: int | None = Field(
        default=None, ge=1, le=100, description="JPEG and WebP; unset: 95, and lossless WebP"
    )

    @model_validator(mode="after")
    def _quality_where_it_means_something(self) -> Self:
        if self.quality is not None and not FORMATS[self.format].has_quality:
            raise ValueError(f"{self.format} has no quality: it is lossless")
        return self


OutputName = Annotated[
    FileName | None, Field(description="the result's name; unset: made from the first image's name")
]


class HsvItem(Message):
    """One image to convert."""

    image: ImageRef
    output_name: OutputName = None


class AlphaBlendItem(Message):
    """A foreground over a background, where the mask lets it through."""

    foreground: ImageRef
    background: ImageRef
    mask: ImageRef | None = None
    output_name: OutputName = None


class PoissonBlendItem(Message):
    """A source to blend seamlessly into a destination, where the mask selects it."""

    source: ImageRef
    mask: ImageRef
    destination: ImageRef
    output_name: OutputName = None


class _Job(Message):
    schema_version: Literal[1] = SCHEMA_VERSION
    output: Output = Output()


class HsvJob(_Job):
    """BGR to HSV."""

    op: Literal["hsv"] = "hsv"
    items: tuple[HsvItem, ...] = Field(min_length=1, max_length=MAX_ITEMS)
    full_range: bool = Field(default=False, description="H over 0..255 rather than 0..179")


class AlphaBlendJob(_Job):
    """Foreground over background: alpha x mask x the foreground's own alpha."""

    op: Literal["alpha_blend"] = "alpha_blend"
    items: tuple[AlphaBlendItem, ...] = Field(min_length=1, max_length=MAX_ITEMS)
    alpha: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)
    offset: Offset = Field(
        default=(0, 0), description="(x, y) of the foreground's top left on the background"
    )


class PoissonBlendJob(_Job):
    """Poisson blending: the source's gradients under the destination's boundary values."""

    op: Literal["poisson_blend"] = "poisson_blend"
    items: tuple[PoissonBlendItem, ...] = Field(min_length=1, max_length=MAX_ITEMS)
    gradient: Literal["src", "max", "avg"] = "src"
    mask_on_source: Offset | None = Field(
        default=None,
        description="(x, y) of the mask's top left on the source; unset: the sizes must be equal",
    )
    mask_on_destination: Offset = Field(
        default=(0, 0), description="(x, y) of the mask's top left on the destination"
    )


Integer = Annotated[int, Field(ge=-(2**53), le=2**53)]
"""Those that every JSON reader takes for the same number."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Colour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]


class InferItem(Message):
    """One image for a model."""

    image: ImageRef
    output_name: OutputName = None


class InferJob(_Job):
    """A model's prediction of each image: a picture, or values such as classes."""

    op: Literal["infer"] = "infer"
    items: tuple[InferItem, ...] = Field(min_length=1, max_length=MAX_ITEMS)
    model: Name
    version: Name | None = Field(default=None, description="unset: the active one")
    palette: tuple[Colour, ...] = Field(
        default=(), max_length=MAX_ITEMS, description="#rrggbb: the colours to use"
    )
    reference: ImageRef | None = Field(default=None, description="a photo to take the colours of")
    tap: str | None = Field(
        default=None, max_length=256, description="an intermediate to return beside the result"
    )
    parameters: dict[str, str | Integer | FiniteFloat | bool] = Field(
        default_factory=dict, description="of the model's own"
    )


Item = HsvItem | AlphaBlendItem | PoissonBlendItem | InferItem
Job = Annotated[HsvJob | AlphaBlendJob | PoissonBlendJob | InferJob, Field(discriminator="op")]


def primary_image(item: Item) -> ImageRef:
    """The image that an item's result is named after."""
    match item:
        case HsvItem() | InferItem():
            return item.image
        case AlphaBlendItem():
            return item.foreground
        case PoissonBlendItem():
            return item.source


_JOB: TypeAdapter[Job] = TypeAdapter(Job)


def parse_job(document: Any) -> Job:
    """Read a job from JSON values.

    Raises:
        BadJobError: it is none; the error says where and why.
    """
    if isinstance(document, dict):
        version = document.get("schema_version", SCHEMA_VERSION)
        if version != SCHEMA_VERSION:
            found = shortened(version)
            raise BadJobError(f"schema_version is {found}; this worker reads {SCHEMA_VERSION}")
    try:
        return (
            _JOB.validate_json(document)
            if isinstance(document, str | bytes)
            else (_JOB.validate_python(document, strict=False))
        )
    except ValidationError as error:
        raise BadJobError(first_problem(error).line("the message")) from None


class ErrorInfo(Message):
    """An error as a value: its class, its text, and its values in the class's order."""

    code: str
    message: str
    values: tuple[Any, ...] = ()

    @classmethod
    def of(cls, error: AgewellError) -> Self:
        """Describe an error."""
        return cls(code=error.code, message=str(error), values=error.args)


class ItemResult(Message):
    """What became of one item: an image, a prediction's values, or an error."""

    image: ImageRef | None = None
    error: ErrorInfo | None = None
    prediction: dict[str, Any] | None = Field(
        default=None, description="of a model, such as the classes: JSON values"
    )
    extras: tuple[ImageRef, ...] | None = Field(
        default=None, description="further files: a tapped intermediate, and a picture of it"
    )
    info: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="what the operation reports beside the image"
    )


class JobResult(Message):
    """What became of a job, item by item, in the order of the job's items."""

    schema_version: Literal[1] = SCHEMA_VERSION
    op: str
    items: tuple[ItemResult, ...]
