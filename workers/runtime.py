"""What must be set in a worker's process before any image library is imported.

OpenCV, OpenMP, numba and torch each start a pool with a thread a core. With a job a core beside
that they would fight for the cores, so each job gets its share: concurrency x threads <= cores.
"""

import os

from shared.settings import Settings

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
