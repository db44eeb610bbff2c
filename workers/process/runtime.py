"""What must be set in a worker's process before any image library is imported.

OpenCV, OpenMP, numba and torch each start a pool with a thread a core. With a job a core beside
that they would fight for the cores, so each job gets its share: concurrency x threads <= cores.
"""

import gc
import os
from typing import Any

from celery import signals

from agewell.shared.settings import Settings
from agewell.workers.process.memory import job_limit, limit_this_process

_THREAD_COUNTS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
_HEADROOM = 2
"""OpenCV's caps are a second line of defence: ours, read from the header, must speak first."""


def prepare(settings: Settings) -> None:
    """Set thread counts and OpenCV's own limits for this process and those it starts."""
    for name in _THREAD_COUNTS:
        os.environ[name] = str(settings.threads_per_job)
    os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(settings.max_pixels * _HEADROOM)
    os.environ["OPENCV_IO_MAX_IMAGE_WIDTH"] = str(settings.max_side * _HEADROOM)
    os.environ["OPENCV_IO_MAX_IMAGE_HEIGHT"] = str(settings.max_side * _HEADROOM)
    os.environ["OPENCV_LOG_LEVEL"] = "ERROR"


def limit_threads(settings: Settings) -> None:
    """Bound OpenCV's pool, which reads no variable; imports cv2, so `prepare` comes first."""
    import cv2

    cv2.setNumThreads(settings.threads_per_job)


def limit_memory(settings: Settings) -> None:
    """Limit each process of a prefork pool when it starts; not the worker, which runs no job."""

    def limit(**_: Any) -> None:
        limit_this_process(job_limit(settings))

    signals.worker_process_init.connect(limit, weak=False)


def collect_garbage_in_time() -> None:
    """Have this process, once it has imported all it needs, collect garbage as a small one would.

    Called where tasks are defined: a pool's process imports that, and not its parent's app.
    """
    signals.worker_process_init.connect(_freeze, weak=False)
    signals.worker_ready.connect(_freeze, weak=False)


def _freeze(**_: Any) -> None:
    """Leave what has been imported out of garbage collections.

    A full one is due when a quarter as much again has survived. With all those modules in the count
    the tracebacks of failed jobs, which are cycles, pile up to a hundred megabytes first.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # which counts what has survived, and that is nothing now
