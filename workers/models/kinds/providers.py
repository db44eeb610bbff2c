"""Choose the execution provider of onnxruntime: the library that runs a graph on a device."""

from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

import onnxruntime as ort

from agewell.workers.models import threads

if TYPE_CHECKING:
    import torch

CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"
OPENVINO: Final = "OpenVINOExecutionProvider"

_PACKAGES: Final = {CUDA: "onnxruntime-gpu", OPENVINO: "onnxruntime-openvino"}
"""The builds of onnxruntime that have a provider."""

_NAMES: Final = {CPU: "CPU", CUDA: "CUDA", OPENVINO: "OpenVINO"}


class ProviderError(Exception):
    """The provider that model.yaml names cannot run here."""


def choose(wanted: str, on: "torch.device") -> list[Any]:
    """Return the providers of a session, the preferred one first.

    Args:
        wanted: `provider` of model.yaml: auto, cpu, cuda or openvino.
        on: the worker's device. auto means CUDA on a GPU, if this build of onnxruntime has it.

    Raises:
        ProviderError: the worker has no GPU, or this build of onnxruntime lacks the provider.
    """
    if wanted == "cuda" and on.type != "cuda":
        raise ProviderError(
            "provider: 'cuda' needs a GPU, and this worker runs on the CPU; run it on a host with "
            "a GPU, or use provider: auto"
        )
    if wanted == "openvino":
        _require(OPENVINO)
        return [(OPENVINO, {"device_type": "CPU", "num_of_threads": str(threads.count())}), CPU]
    if wanted == "cuda":
        _require(CUDA)
    if wanted != "cpu" and on.type == "cuda" and CUDA in ort.get_available_providers():
        return [(CUDA, {"device_id": on.index or 0}), CPU]
    return [CPU]


def check(wanted: str, on: "torch.device", used: Sequence[str]) -> str:
    """Compare the providers of an open session with those that were wanted.

    onnxruntime opens a session on the CPU if it cannot load the libraries of another provider.

    Args:
        wanted: `provider` of model.yaml.
        on: the worker's device.
        used: the session's providers, the first one first.

    Returns:
        A warning for the operator if the graph runs on the CPU of a worker with a GPU, or "".

    Raises:
        ProviderError: model.yaml names a provider, and the session does not use it.
    """
    named = {"cuda": CUDA, "openvino": OPENVINO}.get(wanted)
    if named is not None and named not in used:
        raise ProviderError(f"provider: {wanted!r} did not start: {_cannot_load(named)}")
    if wanted != "auto" or on.type != "cuda" or CUDA in used:
        return ""
    why = _cannot_load(CUDA) if CUDA in ort.get_available_providers() else _lacks(CUDA)
    return f"it runs on the CPU although this worker has a GPU: {why}"


def shown(provider: str) -> str:
    """Return a provider's short name: CPU, CUDA or OpenVINO."""
    return _NAMES.get(provider, provider.removesuffix("ExecutionProvider"))


def _require(provider: str) -> None:
    if provider not in ort.get_available_providers():
        raise ProviderError(f"provider: {shown(provider).lower()!r} cannot run: {_lacks(provider)}")


def _lacks(provider: str) -> str:
    """Say which package of onnxruntime lacks a provider, and which one to install instead."""
    has = ", ".join(map(shown, ort.get_available_providers()))
    packages = _installed()
    told = " and ".join(f"{name} {version}" for name, version in packages.items())
    return (
        f"{told} has {has} and not {shown(provider)}; run `pip uninstall {' '.join(packages)}`, "
        f"then `pip install {_PACKAGES[provider]}`"
    )


def _cannot_load(provider: str) -> str:
    packages = " and ".join(f"{name} {version}" for name, version in _installed().items())
    return (
        f"{packages} cannot load its libraries for {shown(provider)}; the worker's log has "
        "onnxruntime's reason, mostly a missing CUDA or cuDNN of its version"
    )


def _installed() -> dict[str, str]:
    """Return the installed packages of onnxruntime with their versions."""
    found = {}
    for name in ("onnxruntime", *_PACKAGES.values()):
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found or {"onnxruntime": ort.__version__}
