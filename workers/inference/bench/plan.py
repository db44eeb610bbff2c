"""The variants of a model to measure: its exports on disk, and options of model.yaml."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from agewell.shared.errors import ModelError
from agewell.workers.models import load
from agewell.workers.models.catalogue import Catalogue, Found

PLAIN: Final[Mapping[str, Any]] = {**load.PLAIN, "channels_last": False}
"""The torch module alone, in float32: what the others are compared with."""

_OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "float32": {},
    "channels_last": {"channels_last": True},
    "dtype bfloat16": {"dtype": "bfloat16", "channels_last": True},
    "weights bfloat16": {
        "weights_dtype": "bfloat16",
        "fold_batch_norm": True,
        "channels_last": True,
    },
}
_ON_A_GPU: Final[Mapping[str, Mapping[str, Any]]] = {
    "dtype float16": {"dtype": "float16", "channels_last": True},
    "weights float16": {
        "weights_dtype": "float16",
        "fold_batch_norm": True,
        "channels_last": True,
    },
}
_COMPILED: Final[Mapping[str, Any]] = {"compile": True}


@dataclass(frozen=True)
class Variant:
    """One way to run a model."""

    label: str  # a row's name
    version: str
    directory: Path
    reference: Path  # directory of the version whose plain float32 network it is compared with
    changes: Mapping[str, Any] = field(default_factory=dict)  # fields of model.yaml


def variants(
    catalogue: Catalogue, name: str, versions: Sequence[str], *, on_gpu: bool, compiled: bool
) -> list[Variant]:
    """List what to measure.

    Args:
        catalogue: of the versions on disk.
        name: of the model.
        versions: measure only these, as their model.yaml says. Empty: the version that serves if
            none is activated, its exports, and the options of torch.
        on_gpu: the device is a GPU, so include options for one.
        compiled: include torch.compile.

    Raises:
        UnknownModelError: there is no such model or version.
        ModelError: a version cannot be loaded, or none serves.
    """
    found = {each.version: each for each in catalogue.of_name(name)}
    if versions:
        return [_as_it_is(_one(catalogue, found, name, each), found) for each in versions]
    base = found[catalogue.latest(name)]
    exports = [
        each
        for each in found.values()
        if each.spec is not None and each.spec.variant_of == base.version and not each.problem
    ]
    options = [] if _kind(base) == "onnx" else list(_options(base, on_gpu, compiled))
    return [_as_it_is(base, found), *options, *(_as_it_is(each, found) for each in exports)]


def _one(catalogue: Catalogue, found: Mapping[str, Found], name: str, version: str) -> Found:
    catalogue.directory(name, version)  # raises the error of an unknown version
    if found[version].problem:
        raise ModelError(name, version, found[version].problem)
    return found[version]


def _kind(found: Found) -> str:
    return "" if found.spec is None else found.spec.kind


def _as_it_is(found: Found, all_found: Mapping[str, Found]) -> Variant:
    """Measure a version as its model.yaml says. An export is compared with its original."""
    origin = found.spec.variant_of if found.spec is not None else None
    original = all_found.get(origin or "", found)
    return Variant(found.version, found.version, found.directory, original.directory)


def _options(base: Found, on_gpu: bool, compiled: bool) -> Iterator[Variant]:
    """List options of torch. The one that model.yaml has already is left out."""
    rows = dict(_OPTIONS) | (dict(_ON_A_GPU) if on_gpu else {})
    if compiled:
        rows["compile"] = _COMPILED
    for label, chosen in rows.items():
        changes = {**PLAIN, **chosen}
        if base.spec is None or any(getattr(base.spec, key) != changes[key] for key in changes):
            title = f"{base.version} {label}"
            yield Variant(title, base.version, base.directory, base.directory, changes)
