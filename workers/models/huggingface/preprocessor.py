"""Read `preprocessor_config.json`: how transformers prepares images for a network.

The file becomes an `InputSpec`, so that the network gets the same numbers as from transformers'
own image processor.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agewell.workers.models.huggingface.image_processors import DEFAULTS, DETECTORS
from agewell.workers.models.huggingface.json_files import Processor, find_processor
from agewell.workers.models.huggingface.values import (
    NEUTRAL,
    flag,
    number,
    numbers,
    pair_of_sides,
    refuse,
    size_of,
)

_FILTERS: Final = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")  # Pillow's order
_CONVNEXT_STRETCHES: Final = 384
"""From this size on, ConvNextImageProcessor stretches images and cuts nothing."""
_MAX_SIDE: Final = 2**14
"""transformers has no limit, but the memory of a worker has."""
_NEVER_CUT: Final = DETECTORS | {"SegformerImageProcessor"}
_OF_SOME: Final = frozenset().union(*DEFAULTS.values())

Values = Mapping[str, Any]
Fields = dict[str, Any]


@dataclass(frozen=True)
class _Geometry:
    """The sizes of an image on its way to the input, in px."""

    resize: int | tuple[int, int] | bool  # the shorter side, (height, width), or False
    cut: tuple[int, int] | None = None  # (height, width)
    multiple: int = 1
    rounding: str = "nearest"
    max_side: int = _MAX_SIDE

    def fields(self) -> Fields:
        """Return the fields of `InputSpec`."""
        if isinstance(self.resize, tuple) and self.cut in (None, self.resize):
            return {"height": self.resize[0], "width": self.resize[1]}
        if self.cut is not None:
            return {"resize": self.resize, "height": self.cut[0], "width": self.cut[1]}
        fields: Fields = {"resize": self.resize, "max_side": self.max_side}
        return fields | {"multiple": self.multiple, "rounding": self.rounding}


def read_fields(directory: Path) -> Fields:
    """Return the fields of `InputSpec` that the files of a version's directory give.

    Args:
        directory: with config.json and preprocessor_config.json, or processor_config.json.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a value is not valid, or asks for something that agewell cannot do. The
            message names the file, the key and the value.
    """
    found = find_processor(directory)
    try:
        return _fields(found)
    except ValueError as error:
        raise ValueError(f"{found.file}: {error}") from None


def _fields(found: Processor) -> Fields:
    name = found.name
    _refuse_unknown(name, found.given)
    values = {**DEFAULTS[name], **found.given}
    geometry = _geometry(name, values)
    fields = geometry.fields() | _arithmetic(name, values)
    if geometry.resize is not False:
        fields["resample"] = _filter(values)
    flips = name == "MobileViTImageProcessor" and flag(values, "do_flip_channel_order")
    return fields | {"colours": "gray" if found.channels == 1 else "bgr" if flips else "rgb"}


def _refuse_unknown(name: str, given: Values) -> None:
    """Check that each key is known. Keys of other classes have no effect in transformers."""
    for key, value in given.items():
        if key not in _OF_SOME and key not in NEUTRAL and value not in (None, False):
            refuse(key, value, f"agewell does not know this key of {name}")
    if given.get("do_pad") and given.get("pad_size"):
        refuse("pad_size", given["pad_size"], "agewell does not pad to a size")
    if given.get("data_format") not in (None, "channels_first", "FIRST"):
        refuse("data_format", given["data_format"], "agewell gives channels_first")


def _geometry(name: str, values: Values) -> _Geometry:
    cut = None
    if flag(values, "do_center_crop") and name not in _NEVER_CUT:
        cut = pair_of_sides(values, "crop_size")
    if not flag(values, "do_resize"):
        return _Geometry(False, cut)
    if name in DETECTORS:
        return _of_detector(name, values)
    size = size_of(values, "size")
    shorter = size.get("shortest_edge")
    match name:
        case "ConvNextImageProcessor":
            return _convnext(values, _needed(shorter, name, values), cut)
        case "PoolFormerImageProcessor" if values["crop_pct"] is not None:
            return _Geometry(_grown(values, size), cut)
        case "LevitImageProcessor" if shorter is not None:
            return _Geometry(int(256 / 224 * shorter), cut)
        case "TextNetImageProcessor":
            multiple = int(number(values, "size_divisor"))
            if cut is not None and multiple > 1:
                refuse("do_center_crop", True, f"it comes after rounding to {multiple} px")
            side = _needed(shorter, name, values)
            return _Geometry(side, cut, multiple=multiple, rounding="up")
    if shorter is None:
        return _Geometry((size["height"], size["width"]), cut)
    longer = size.get("longest_edge")
    if longer is not None and cut is not None:
        refuse("size", values["size"], "agewell does not limit the longest edge before a crop")
    return _Geometry(shorter, cut, max_side=longer or _MAX_SIDE)


def _of_detector(name: str, values: Values) -> _Geometry:
    """Return the sizes of a detector: stretched, or with a limited longer side. It cuts nothing."""
    newer = name == "RTDetrImageProcessor"
    size = size_of(values, "size", square=None if newer else False)
    if "height" in size:
        return _Geometry((size["height"], size["width"]))
    longer = size.get("longest_edge")
    if isinstance(values["size"], int) and not newer:  # as old files have it
        longer = values.get("max_size", 1333)
    if not isinstance(longer, int):
        refuse("size", values["size"], f"{name} needs height and width, or a longest_edge")
    if name == "YolosImageProcessor":
        return _Geometry(size["shortest_edge"], None, 16, "down", longer)
    return _Geometry(size["shortest_edge"], max_side=longer)


def _needed(shorter: int | None, name: str, values: Values) -> int:
    if shorter is None:
        refuse("size", values["size"], f"{name} needs a shortest_edge")
    return shorter


def _convnext(values: Values, side: int, cut: tuple[int, int] | None) -> _Geometry:
    square = side, side
    if side >= _CONVNEXT_STRETCHES:
        return _Geometry(square, cut)
    if cut not in (None, square):
        refuse("crop_size", values["crop_size"], f"size cuts the image to {side} x {side} already")
    return _Geometry(int(side / number(values, "crop_pct")), square)


def _grown(values: Values, size: Mapping[str, int]) -> int | tuple[int, int]:
    """Return PoolFormer's size before its crop: the size of the file divided by crop_pct."""
    share = number(values, "crop_pct")
    if "shortest_edge" in size:
        return int(size["shortest_edge"] / share)
    height, width = int(size["height"] / share), int(size["width"] / share)
    return height if size["height"] == size["width"] else (height, width)


def _arithmetic(name: str, values: Values) -> Fields:
    """Return scale, offset, mean and std."""
    rescales = flag(values, "do_rescale")
    fields: Fields = {"scale": number(values, "rescale_factor") if rescales else 1.0}
    if name == "MobileViTImageProcessor":  # it never normalises, whatever the file says
        return fields
    if flag(values, "do_normalize"):
        fields |= {"mean": numbers(values, "image_mean"), "std": numbers(values, "image_std")}
    if name == "EfficientNetImageProcessor":
        if rescales and flag(values, "rescale_offset"):
            fields["offset"] = -1.0
        if flag(values, "include_top"):  # divides by the standard deviation a second time
            std = numbers(values, "image_std")
            fields["std"] = tuple(each * each for each in std) if "std" in fields else std
    return fields


def _filter(values: Values) -> str:
    found = values["resample"]
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found < len(_FILTERS):
        allowed = ", ".join(f"{number} {each}" for number, each in enumerate(_FILTERS))
        refuse("resample", found, f"it must be one of {allowed}")
    return _FILTERS[found]
