"""Read values of `preprocessor_config.json`, and refuse those that are not valid."""

from collections.abc import Mapping
from typing import Any, Final, NoReturn

NEUTRAL: Final = frozenset(
    {
        "_name_or_path",
        "_processor_class",
        "_valid_processor_keys",
        "auto_map",
        "data_format",
        "device",
        "disable_grouping",
        "do_convert_annotations",
        "do_convert_rgb",
        "do_pad",
        "do_reduce_labels",
        "feature_extractor_type",
        "format",
        "image_processor_type",
        "image_seq_length",
        "input_data_format",
        "max_size",
        "model_input_names",
        "num_channels",
        "pad_and_return_pixel_mask",
        "pad_size",
        "patch_size",
        "processor_class",
        "reduce_labels",
        "return_tensors",
        "transformers_version",
        "use_fast",
    }
)
"""Keys without an effect on one RGB image, or checked elsewhere."""

_SIZE_KEYS: Final = (
    {"height", "width"},
    {"shortest_edge"},
    {"shortest_edge", "longest_edge"},
)


def refuse(key: str, value: object, reason: str) -> NoReturn:
    """Raise a ValueError that names a key and its value."""
    raise ValueError(f"{key}: {reason}; found {value!r}")


def flag(values: Mapping[str, Any], key: str) -> bool:
    """Return a value that is true or false. A missing one is false."""
    found = values.get(key)
    if found is not None and not isinstance(found, bool):
        refuse(key, found, "it must be true or false")
    return bool(found)


def number(values: Mapping[str, Any], key: str) -> float:
    """Return a number above 0."""
    found = values[key]
    if not _is_number(found) or not 0 < found < float("inf"):
        refuse(key, found, "it must be a number above 0")
    return float(found)


def numbers(values: Mapping[str, Any], key: str) -> tuple[float, ...]:
    """Return a list of numbers, or a single one, as a tuple."""
    found = values[key]
    items = found if isinstance(found, list) else [found]
    if not items or not all(map(_is_number, items)):
        refuse(key, found, "it must be a number, or one for each channel")
    return tuple(map(float, items))


def size_of(values: Mapping[str, Any], key: str, *, square: bool | None = None) -> dict[str, int]:
    """Return a size with the keys height and width, or shortest_edge and perhaps longest_edge.

    Args:
        values: of the file.
        key: of the size. It may be a mapping, [height, width], or one number.
        square: if one number is the side of a square, and not the shorter side; default: as
            `default_to_square` says.
    """
    found = values[key]
    if square is None:
        square = flag(values, "default_to_square")
    size = found
    if isinstance(found, int) and not isinstance(found, bool):
        size = {"height": found, "width": found} if square else {"shortest_edge": found}
    elif isinstance(found, list) and len(found) == 2:
        size = {"height": found[0], "width": found[1]}
    if not isinstance(size, dict) or set(size) not in _SIZE_KEYS:
        allowed = "height and width, shortest_edge, or shortest_edge and longest_edge"
        refuse(key, found, f"agewell knows sizes of {allowed}")
    for side in size.values():
        if not isinstance(side, int) or isinstance(side, bool) or side < 1:
            refuse(key, found, "a side must be a whole number of pixels above 0")
    return size


def pair_of_sides(values: Mapping[str, Any], key: str) -> tuple[int, int]:
    """Return a size as (height, width). A single number is the side of a square."""
    if values.get(key) is None:
        refuse(key, None, "do_center_crop needs it")
    size = size_of(values, key, square=True)
    if "height" not in size:
        refuse(key, values[key], "a crop needs height and width")
    return size["height"], size["width"]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
