"""Load the code that a model.yaml names.

Anyone who can write to the models directory can run code in the workers.
"""

import hashlib
import importlib
from pathlib import Path
from typing import Any

from agewell.shared.errors import ModelError
from agewell.workers.models.spec import ModelSpec
from agewell.workers.process.python_files import import_file


def load_code(entry: str, spec: ModelSpec, directory: Path) -> Any:
    """Load the object that an entry names.

    Args:
        entry: `package.module:name`, or `./file.py:name` in the version's directory.
        spec: of the version, for error messages.
        directory: of the version.

    Raises:
        ModelError: the module or the name does not exist, or the import fails.
    """
    place, _, name = entry.partition(":")
    try:
        module = _load_file(directory / place) if place.startswith("./") else _import(place)
        return getattr(module, name)
    except Exception as error:
        reason = f"{entry}: {type(error).__name__}: {error}"
        raise ModelError(spec.name, spec.version, reason) from error


def _import(place: str) -> Any:
    return importlib.import_module(place)


def _load_file(path: Path) -> Any:
    """Import a file as a separate module for each path and content: versions do not share one."""
    digest = hashlib.sha256(str(path.resolve()).encode() + path.read_bytes()).hexdigest()[:16]
    return import_file(path, f"agewell_model_{digest}")
