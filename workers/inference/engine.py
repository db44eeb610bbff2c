"""The engine of an infer worker: its device, its models and its batcher. Built on first use.

Importing this module imports torch. CUDA is not used before `start_engine` is called.
"""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from agewell.shared.settings import Settings
from agewell.workers.inference.batching.batcher import Batcher
from agewell.workers.inference.batching.bisect import Outputs, run_pass
from agewell.workers.inference.batching.queue import Request
from agewell.workers.models import device
from agewell.workers.models.arrays import DeviceLostError
from agewell.workers.models.catalogue import Catalogue
from agewell.workers.models.load import load_model
from agewell.workers.models.model import Model
from agewell.workers.models.registry import Registry

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Engine:
    """The models of one process, on its only device."""

    device: str  # its name, for people
    registry: Registry
    batcher: Batcher


def start_engine(settings: Settings) -> Engine:
    """Choose the device, and start the batcher's thread.

    Args:
        settings: `model_dirs`, `models_memory_bytes` and `threads_per_pass` are used.
    """
    device.limit_threads(settings.threads_per_pass)
    on = device.choose_device()
    log.info("models run on %s", device.describe(on))
    return Engine(
        device=device.describe(on),
        registry=Registry(
            Catalogue(*settings.model_dirs),
            load=partial(_load, on=on, threads=settings.threads_per_pass),
            budget_bytes=settings.models_memory_bytes,
            release=partial(device.release_memory, on),
        ),
        batcher=Batcher(
            run=_run_or_end, prepare=partial(device.limit_threads, settings.threads_per_pass)
        ).start(),
    )


def _load(directory: Path, on: torch.device, threads: int) -> Model:
    """Load a version, with as many threads as its passes will have.

    OpenMP counts threads for each thread that starts some. In a new one, the count is that of the
    environment, and the times that choose between torch and ONNX would be wrong.
    """
    device.limit_threads(threads)
    return load_model(directory, on)


def _run_or_end(part: Sequence[Request]) -> Outputs:
    """Run a pass. If the device has failed, end this process.

    Its jobs are then requeued, and another process can run them.
    """
    try:
        return run_pass(part)
    except DeviceLostError:
        log.critical("the device has failed; this process ends, its jobs requeue", exc_info=True)
        logging.shutdown()
        os._exit(os.EX_SOFTWARE)
