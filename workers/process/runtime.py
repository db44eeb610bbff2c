"""Sets up a worker process before it imports any image library.

OpenCV, OpenMP, numba and torch each start a pool with one thread per core. Several jobs at once
would then compete for the cores, so each job gets its share: concurrency x threads <= cores.

A machine may run a cv and an infer worker, and each may use all cores while the other is idle. If
both are busy, the kernel divides the cores. Threads of OpenMP that wait must then sleep: by default
they spin, and take the cores from those that work (measured by benchmarks/mixed_load.py).
"""

import gc
import logging
import os
from typing import Any

from celery import signals

from agewell.shared.settings import Settings
from agewell.workers.process.memory import job_limit, limit_this_process, too_small

_THREAD_COUNTS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
log = logging.getLogger(__name__)

_HEADROOM = 2
"""OpenCV's own limits are higher by this factor, so that ours, read from the header, apply
first."""


def prepare(settings: Settings) -> None:
    """Set thread counts and OpenCV's limits in the environment of this process and its children."""
    for name in _THREAD_COUNTS:
        os.environ[name] = str(settings.threads_per_job)
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(settings.max_pixels * _HEADROOM)
    os.environ["OPENCV_IO_MAX_IMAGE_WIDTH"] = str(settings.max_side * _HEADROOM)
    os.environ["OPENCV_IO_MAX_IMAGE_HEIGHT"] = str(settings.max_side * _HEADROOM)
    os.environ["OPENCV_LOG_LEVEL"] = "ERROR"


def limit_threads(settings: Settings) -> None:
    """Limit OpenCV's thread pool. It imports cv2, so call `prepare` first."""
    import cv2

    cv2.setNumThreads(settings.threads_per_job)


def limit_memory(settings: Settings) -> None:
    """Limit the memory of each pool process when it starts. The worker itself runs no job.

    The worker warns when it starts if its container has too little for all of them.
    """

    def limit(**_: Any) -> None:
        limit_this_process(job_limit(settings))

    def warn(**_: Any) -> None:
        if warning := too_small(settings):
            log.warning("%s", warning)

    signals.worker_process_init.connect(limit, weak=False)
    # Before the processes start: if they do not fit, the kernel may end the worker then.
    signals.celeryd_after_setup.connect(warn, weak=False)


def collect_garbage_in_time() -> None:
    """Have this process collect garbage as often as a small one, once it has imported everything.

    Call it in modules that define tasks: pool processes import these, and the parent's app does
    not.
    """
    signals.worker_process_init.connect(_freeze, weak=False)
    signals.worker_ready.connect(_freeze, weak=False)


def _freeze(**_: Any) -> None:
    """Exclude everything imported so far from garbage collections.

    Python starts a full collection when the number of surviving objects has grown by a quarter. If
    the imported modules counted, the tracebacks of failed jobs, which are reference cycles, would
    grow to a hundred megabytes first.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # resets the count of survivors, which is nearly zero now
