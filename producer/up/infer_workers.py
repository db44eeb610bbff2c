"""Chooses the infer workers of `agewell up`: one, one for each GPU, or none."""

import importlib.util
import os
import socket
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from agewell.producer.up.gpus import find_gpus, parse_gpus
from agewell.producer.up.supervisor import Program, Report, celery
from agewell.shared.errors import ParameterError
from agewell.shared.protocol.tasks import Queue
from agewell.shared.settings import Settings

_DRIVER = Path("/proc/driver/nvidia/gpus")
"""It has a folder for each GPU. Asking CUDA instead would break CUDA in forked children."""

_NO_GPU = (
    "warning: no GPU is found for {!r}, so this worker would run on the CPU; name fewer GPUs, or "
    "check `nvidia-smi -L`"
)


def gpus_from(text: str | None) -> tuple[str, ...]:
    """Read the option `--gpus`: `all`, how many, or which, as `parse_gpus` says.

    Returns:
        A value of CUDA_VISIBLE_DEVICES for each worker. Empty if the option is not given.

    Raises:
        ParameterError: the text is none of these, or names a GPU that this machine does not have,
            or it is `all` and no GPU is found.
    """
    if text is None:
        return ()
    chosen = parse_gpus(text, find_gpus(_DRIVER), os.environ.get("CUDA_VISIBLE_DEVICES"))
    if not chosen:
        raise ParameterError("--gpus", "all", f"indexes such as 0,1, as {_DRIVER} shows no GPU")
    return chosen


def infer_programs(
    settings: Settings, gpus: tuple[str, ...], env: Mapping[str, str], report: Report
) -> list[Program]:
    """List the infer workers to run. Each sees only its own GPU, as the first device."""
    reason = _why_none(settings)
    if reason:
        report("infer worker", f"not started: {reason}; the rest runs without it")
        return []
    if not gpus:
        return [Program("infer worker", _command(settings, "infer"), env)]
    if fault := _build_without_cuda():
        report("infer worker", fault)
    for gpu in _on_the_cpu(gpus):
        report(f"infer worker {_as_name(gpu)}", _NO_GPU.format(gpu))
    return [
        Program(
            f"infer worker {_as_name(gpu)}",
            _command(settings, f"infer{_as_name(gpu)}"),
            {**env, "CUDA_VISIBLE_DEVICES": gpu},
        )
        for gpu in gpus
    ]


def _on_the_cpu(gpus: tuple[str, ...]) -> list[str]:
    """List the GPUs that this machine does not have, as far as their names show it."""
    found = find_gpus(_DRIVER)
    return [gpu for gpu in gpus if not found or (gpu.isdecimal() and int(gpu) >= len(found))]


def _build_without_cuda() -> str:
    """Return a warning if torch is a build for the CPU, without importing it, or ""."""
    try:
        version = metadata.version("torch")
    except metadata.PackageNotFoundError:  # it was not installed by pip
        return ""
    if not version.endswith("+cpu"):
        return ""
    return f"warning: torch {version} is a build without CUDA, so each worker runs on the CPU"


def _as_name(gpu: str) -> str:
    """Return a GPU's name for files and workers. Old names of MIG devices contain slashes."""
    return gpu.replace("/", "-")


def _why_none(settings: Settings) -> str | None:
    if importlib.util.find_spec("torch") is None:
        return "torch is not installed (pip install 'agewell[workers]')"
    if not any(path for each in settings.model_dirs for path in each.glob("*/*/model.yaml")):
        return f"no name/version/model.yaml in {settings.models_dir} (AGEWELL_MODELS_DIR)"
    return None


def _command(settings: Settings, name: str) -> list[str]:
    return celery(
        *("-A", "agewell.workers.infer", "worker", "-Q", Queue.INFER.value),
        *("-n", f"{name}@{socket.gethostname()}", f"--loglevel={settings.log_level}"),
        *("--pool=threads", f"--concurrency={settings.infer_concurrency}", "--task-events"),
    )
