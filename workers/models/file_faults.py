"""Find faults in a version's files without loading it."""

import hashlib
from pathlib import Path

import safetensors

from agewell.workers.models.arrays import CHECK_FILE
from agewell.workers.models.spec import ModelSpec

HASHED_MAX_BYTES = 2**30
"""Larger weights are hashed only when they are loaded, because it takes seconds."""

_POINTER = b"version https://git-lfs"


def fault_of(spec: ModelSpec, directory: Path) -> str:
    """Return why a version's files cannot be loaded, or "" if no fault is found."""
    for code in (spec.entry, spec.model_class):
        file = code.partition(":")[0] if code else ""
        if file.startswith("./") and not (directory / file).is_file():
            return f"no file {directory / file}, which model.yaml names"
    graph = spec.onnx if (directory / CHECK_FILE).is_file() else None  # not used without it
    for name in (spec.weights, graph):
        if name is not None and (found := _weights_fault(directory / name)):
            return found
    if spec.weights is not None and spec.sha256 is not None:
        path = directory / spec.weights
        return "" if path.stat().st_size > HASHED_MAX_BYTES else hash_fault(path, spec.sha256)
    return ""


def _weights_fault(path: Path) -> str:
    try:
        with path.open("rb") as file:
            begin = file.read(len(_POINTER))
    except FileNotFoundError:
        return f"no file {path}"
    except OSError as error:
        return f"{path}: {error.strerror}"
    if begin == _POINTER:
        return f"{path} is a Git LFS pointer: run `git lfs pull`"
    if path.suffix == ".safetensors":
        try:
            safetensors.safe_open(path, "np")
        except (safetensors.SafetensorError, OSError) as error:
            return f"{path} is damaged: {error}"
    return ""


def hash_fault(path: Path, expected: str) -> str:
    """Return how a file's SHA-256 differs from that of model.yaml, or "" if they are equal."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found == expected:
        return ""
    return f"the SHA-256 of {path.name} is {found}, but model.yaml says {expected}"
