"""Chooses the infer workers of `agewell up`: one, one for each GPU, or none."""

import importlib.util
import socket
from collections.abc import Mapping
from pathlib import Path

from agewell.producer.up.supervisor import Program, Report, celery
from agewell.shared.errors import ParameterError
from agewell.shared.protocol.tasks import Queue
from agewell.shared.settings import Settings

_DRIVER = Path("/proc/driver/nvidia/gpus")
"""It has a folder for each GPU. Asking CUDA instead would break CUDA in forked children."""


def gpus_from(text: str | None) -> tuple[str, ...]:
    """Read the option `--gpus`: `all`, how many, or the indexes of the GPUs, such as `0,2`.

    Returns:
        The indexes of the GPUs. Empty if the option is not given.

    Raises:
        ParameterError: the text is none of these, or it is `all` and no GPU is found.
    """
    if text is None:
        return ()
    if text == "all":
        found = tuple(str(index) for index, _ in enumerate(sorted(_DRIVER.glob("*"))))
        if not found:
            raise ParameterError("--gpus", "all", f"indexes such as 0,1, as {_DRIVER} shows no GPU")
        return found
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts) or text == "0":
        raise ParameterError("--gpus", repr(text), "all, how many, or which: 0,2")
    if len(parts) == 1 and "," not in text:
        return tuple(str(index) for index in range(int(parts[0])))
    return tuple(dict.fromkeys(parts))


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
    return [
        Program(
            f"infer worker {gpu}",
            _command(settings, f"infer{gpu}"),
            {**env, "CUDA_VISIBLE_DEVICES": gpu},
        )
        for gpu in gpus
    ]


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
