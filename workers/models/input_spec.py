"""The field `input` of `model.yaml`: how an image is converted to a network's input."""

import re
from typing import Annotated, Any, Final, Literal, Self

from PIL import ImageColor
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

PositiveInt = Annotated[int, Field(gt=0)]
Resample = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]

_HEX: Final = re.compile(r"#[0-9a-f]{6}")


def _is_side(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _resize(value: Any) -> Any:
    """Check what stands for `resize`. One message for all its types is easier to read."""
    pair = isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_side, value))
    if not (value is None or value is False or _is_side(value) or pair):
        raise ValueError("must be the shorter side in px, [height, width], or false")
    return value


def _colour(value: Any) -> str:
    """Return a colour as `#rrggbb`."""
    text = value.lower() if isinstance(value, str) else ""
    if text in ImageColor.colormap:
        # Not from the map itself: Pillow replaces its texts by tuples once they are used.
        text = "#" + bytes(ImageColor.getrgb(text)[:3]).hex()
    if not _HEX.fullmatch(text):
        quotes = "in quotes, because YAML takes an unquoted # for a comment"
        raise ValueError(f"must be a colour, such as white, or '#f0e0d0' {quotes}")
    return text


def _listed(value: Any) -> Any:
    """Return a single number as a list with it."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return [value] if is_number else value


class Document(BaseModel):
    """A mapping in model.yaml. An unknown field is an error."""

    # pydantic reserves the prefix "model_", and one of the fields begins with it.
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class InputSpec(Document):
    """`input` in model.yaml: how an image is converted to the network's input."""

    height: PositiveInt | None = Field(
        default=None, description="fixed height of the input in px; without it, any height"
    )
    width: PositiveInt | None = Field(
        default=None, description="fixed width of the input in px; without it, any width"
    )
    fit: Literal["stretch", "crop", "letterbox"] = Field(
        default="stretch",
        description="how to reach a fixed size: stretch the image, crop its centre first, or keep "
        "its proportions and fill the rest with `pad`",
    )
    pad: Annotated[tuple[Annotated[int, Field(ge=0, le=255)], ...], BeforeValidator(_listed)] = (
        Field(
            default=(114,),
            description="fit letterbox: the colour around the image, 0..255, one value, or red, "
            "green and blue",
        )
    )
    resize: Annotated[bool | int | tuple[int, int] | None, BeforeValidator(_resize)] = Field(
        default=None,
        description="resize before the centre of height x width is cut out: the shorter side in "
        "px, [height, width] to stretch to, or false not to resize; without a fixed size, nothing "
        "is cut",
    )
    resample: Resample | None = Field(
        default=None,
        description="filter for resizing, as in Pillow; without it, OpenCV's area averages to "
        "reduce, and its bilinear interpolation to enlarge",
    )
    multiple: PositiveInt = Field(
        default=1, description="without a fixed size: each side is a multiple of this, in px"
    )
    rounding: Literal["nearest", "up", "down"] = Field(
        default="nearest", description="how to get to that multiple"
    )
    max_side: PositiveInt = Field(
        default=2048, description="without a fixed size: the longest side in px"
    )
    warmup_side: PositiveInt = Field(
        default=224, description="without a fixed size: side of the warm-up image in px"
    )
    colours: Literal["rgb", "bgr", "gray"] = Field(
        default="rgb", description="the input's channels, in this order"
    )
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        default=1 / 255, description="multiplies the values 0..255"
    )
    offset: Annotated[float, Field(allow_inf_nan=False)] = Field(
        default=0.0, description="added to the values after that"
    )
    mean: Annotated[tuple[float, ...], BeforeValidator(_listed)] = Field(
        default=(0.0,), description="subtracted from the values: one, or one per channel"
    )
    std: Annotated[tuple[Annotated[float, Field(gt=0)], ...], BeforeValidator(_listed)] = Field(
        default=(1.0,), description="divides the values after that: one, or one per channel"
    )
    background: Annotated[str, BeforeValidator(_colour)] = Field(
        default="#ffffff",
        description="colour behind an image with an alpha channel: a name or '#rrggbb'",
    )

    @model_validator(mode="after")
    def _both_sides_or_none(self) -> Self:
        if (self.height is None) != (self.width is None):
            raise ValueError("height and width go together; leave both out for any size")
        channels = 1 if self.colours == "gray" else 3
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, channels):
                raise ValueError(f"{name} has {len(values)} values for {channels} channels")
        if len(self.pad) not in (1, 3):
            raise ValueError(f"pad has {len(self.pad)} values; allowed: 1, or red, green and blue")
        return self

    @model_validator(mode="after")
    def _one_way_to_the_size(self) -> Self:
        if self.resize is not None and self.fit == "crop":
            raise ValueError("fit: crop cuts before it resizes, and resize cuts after; choose one")
        if self.resize is not None and self.fit == "letterbox":
            raise ValueError("fit: letterbox keeps the whole image, and resize cuts; choose one")
        if self.size is None and self.fit == "letterbox":
            raise ValueError("fit: letterbox needs height and width, the size to fill")
        return self

    @property
    def size(self) -> tuple[int, int] | None:
        """The fixed size, (height, width) in px, or None for any size."""
        if self.height is None or self.width is None:
            return self.resize if isinstance(self.resize, tuple) else None
        return self.height, self.width
