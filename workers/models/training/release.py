"""Write the model.yaml of a trained version, so that workers can load it."""

import hashlib
from pathlib import Path
from typing import Any

import yaml

from agewell.workers.models.spec import FILE_NAME

WEIGHTS = "weights.safetensors"


def write_spec(directory: Path, document: dict[str, Any]) -> None:
    """Write model.yaml for weights in the directory `.../NAME/VERSION`, with their SHA-256.

    Args:
        directory: of the version; it has weights.safetensors.
        document: the other fields of model.yaml.
    """
    (directory / WEIGHTS).chmod(0o644)  # safetensors makes files that only their owner can read
    digest = hashlib.sha256((directory / WEIGHTS).read_bytes()).hexdigest()
    whole = {
        "name": directory.resolve().parent.name,
        "version": directory.resolve().name,
        **document,
        "weights": WEIGHTS,
        "sha256": digest,
    }
    text = yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, width=96)
    (directory / FILE_NAME).write_text(text)


def colorizer(palette: list[str]) -> dict[str, Any]:
    """Return the fields of a colorizer's model.yaml.

    Args:
        palette: the default palette of jobs, as "#rrggbb".
    """
    return {
        "description": "Colours photos: luminance and a palette in, colours out",
        "task": "image",
        "kind": "torch",
        "entry": "agewell.workers.models.library.colorizer.network:Colorizer",
        "model_class": "agewell.workers.models.library.colorizer.model:ColorModel",
        "options": {"palette": palette},
        "input": {"multiple": 32, "max_side": 192, "warmup_side": 192, "colours": "gray"},
        "max_batch_size": 8,
    }


def digits() -> dict[str, Any]:
    """Return the fields of model.yaml for the digits' network."""
    return {
        "description": "Handwritten digits, light on dark",
        "task": "classification",
        "kind": "torch",
        "entry": "agewell.workers.models.library.digits.network:DigitsCnn",
        "labels": [str(digit) for digit in range(10)],
        "input": {"height": 8, "width": 8, "colours": "gray"},
        "max_batch_size": 64,
    }
