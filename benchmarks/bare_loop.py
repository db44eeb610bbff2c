"""A bare loop: one process per core reads files and works on them, and nothing more.

It has no queue, no checks, no storage and no results. Of its parent process, which hands out the
names of the files, the processor time is not counted.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from agewell.shared.cores import usable_cores
from benchmarks.cost import Cost

Work = Callable[[bytes], bytes]
"""From the bytes of a file to the bytes of the result. A function of a module."""


class BareLoop:
    """The processes of bare loops."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        """Use a pool of one process per core."""
        self._pool = pool

    def run(self, work: Work, paths: Sequence[Path]) -> Cost:
        """Run the work on every file, once."""
        began = time.perf_counter()
        size = max(1, len(paths) // (8 * usable_cores()))
        chunks = [paths[first : first + size] for first in range(0, len(paths), size)]
        processor_s = sum(self._pool.map(_run_chunk, repeat(work), chunks))
        return Cost(time.perf_counter() - began, processor_s)


@contextmanager
def bare_loops() -> Iterator[BareLoop]:
    """Start the processes of bare loops, and end them after the block."""
    with ProcessPoolExecutor(usable_cores(), mp_context=get_context("spawn")) as pool:
        yield BareLoop(pool)


def _run_chunk(work: Work, paths: Sequence[Path]) -> float:
    cv2.setNumThreads(1)
    began = time.process_time()
    assert all(work(path.read_bytes()) for path in paths)
    return time.process_time() - began


def opencv_hsv(data: bytes) -> bytes:
    """Decode, convert to HSV and encode as PNG, with OpenCV's defaults."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    _, encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_BGR2HSV))
    return encoded.tobytes()
