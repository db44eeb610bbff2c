"""The field `input` of `model.yaml`: how an image is converted to a network's input."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

PositiveInt = Annotated[int, Field(gt=0)]


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
    pad: tuple[Annotated[int, Field(ge=0, le=255)], ...] = Field(
        default=(114,),
        description="fit letterbox: the colour around the image, 0..255, one value or red, green "
        "and blue",
    )
    multiple: PositiveInt = Field(
        default=1, description="without a fixed size: each side is a multiple of this, in px"
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
    mean: tuple[float, ...] = Field(
        default=(0.0,), description="subtracted from values 0..1: one, or one per channel"
    )
    std: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(1.0,), description="divides the values after that: one, or one per channel"
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

    @property
    def size(self) -> tuple[int, int] | None:
        """The fixed size, (height, width) in px, or None for any size."""
        if self.height is None or self.width is None:
            return None
        return self.height, self.width
