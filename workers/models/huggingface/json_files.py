"""Find the image processor's class and values in the JSON files of a Hugging Face directory."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agewell.workers.models.huggingface.image_processors import DEFAULTS, OF_MODEL_TYPE

PREPROCESSOR: Final = "preprocessor_config.json"
PROCESSOR: Final = "processor_config.json"
_CONFIG: Final = "config.json"


@dataclass(frozen=True)
class Processor:
    """An image processor as its directory describes it."""

    file: str  # the name of the JSON file
    name: str  # of the class, one of `DEFAULTS`
    given: Mapping[str, Any]  # the values in the file
    channels: int  # of the network: 1 or 3


def find_processor(directory: Path) -> Processor:
    """Read the image processor of a directory. processor_config.json comes first.

    Raises:
        FileNotFoundError: neither preprocessor_config.json is there, nor processor_config.json
            with an image processor.
        ValueError: a file is not a JSON object, or the class is not known.
    """
    file, values = _values(directory)
    config = read_config(directory)
    channels = config.get("num_channels", 3)
    if channels not in (1, 3):
        raise ValueError(f"{_CONFIG}: num_channels: it must be 1 or 3; found {channels!r}")
    return Processor(file, _class(file, values, config), values, channels)


def read_config(directory: Path) -> Mapping[str, Any]:
    """Return the values of config.json. If there is no such file, there are none.

    Raises:
        ValueError: the file is not a JSON object.
    """
    path = directory / _CONFIG
    return _read(path) if path.is_file() else {}


def _values(directory: Path) -> tuple[str, Mapping[str, Any]]:
    if (directory / PROCESSOR).is_file():
        nested = _read(directory / PROCESSOR).get("image_processor")
        if isinstance(nested, dict):
            return PROCESSOR, nested
    if not (directory / PREPROCESSOR).is_file():
        raise FileNotFoundError(f"there is no {PREPROCESSOR} in {directory}")
    return PREPROCESSOR, _read(directory / PREPROCESSOR)


def _class(file: str, values: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    model_type = config.get("model_type")
    named = (
        values.get("image_processor_type")
        or values.get("feature_extractor_type")
        or config.get("image_processor_type")
        or OF_MODEL_TYPE.get(str(model_type))
    )
    if named is None:
        reason = f"there is no image_processor_type, and {_CONFIG} has no model_type that tells it"
        raise ValueError(f"{file}: {reason}; found {model_type!r}")
    plain = str(named).replace("FeatureExtractor", "ImageProcessor")
    plain = plain.removesuffix("Fast").removesuffix("Pil")
    if plain not in DEFAULTS:
        known = ", ".join(sorted(DEFAULTS))
        raise ValueError(f"{file}: image_processor_type: agewell knows {known}; found {named!r}")
    return plain


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path.name}: {error}") from error
    if not isinstance(document, dict):
        raise ValueError(f"{path.name}: it must be a JSON object")
    return document
