"""The batcher: it collects items of many jobs and runs them in batches on one thread."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Self

import numpy.typing as npt

from agewell.workers.inference.batching.bisect import run_bisecting, run_pass
from agewell.workers.inference.batching.queue import BatchLimits, BatchQueue, Request

MAX_QUEUED_BYTES = 256 * 2**20


class Batcher:
    """Collects items of many jobs, and runs them in batches on its own thread.

    A job calls `working` while it may still add items, and `waiting` while it waits for a result.
    If every job waits, no more items can come, so the next batch runs at once.

    Args:
        run: runs one batch and returns the outputs of each item.
        clock: returns seconds.
        max_queued_bytes: `submit` blocks if the arrays of the waiting items exceed this.
        prepare: called once on the new thread, before the first batch.
    """

    def __init__(
        self,
        *,
        run: Callable[[Sequence[Request]], list[dict[str, npt.NDArray[Any]]]] = run_pass,
        clock: Callable[[], float] = time.monotonic,
        max_queued_bytes: int = MAX_QUEUED_BYTES,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        self._run = run
        self._clock = clock
        self._prepare = prepare
        self._queue = BatchQueue(max_queued_bytes)
        self._lock = threading.Lock()
        self._due = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        self._working = 0
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="forward", daemon=True)

    def start(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Run the waiting items, then stop the thread. Later items are refused."""
        with self._lock:
            self._closed = True
            self._due.notify_all()
            self._room.notify_all()
        self._thread.join()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Within this block, the calling thread may add items."""
        self._change_working(+1)
        try:
            yield
        finally:
            self._change_working(-1)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Within this block, which is inside `working`, the thread waits and adds no items."""
        self._change_working(-1)
        try:
            yield
        finally:
            self._change_working(+1)

    def submit(self, request: Request) -> "Future[dict[str, npt.NDArray[Any]]]":
        """Add an item. It must be called within `working`, and blocks while the queue is full.

        Returns:
            A future of the item's outputs by name, without the batch axis.

        Raises:
            RuntimeError: the batcher is closed.
        """
        spec = request.model.spec
        limits = BatchLimits(spec.max_batch_size, spec.max_pixels, spec.max_wait_ms / 1000)
        with self._lock:
            while not (self._queue.has_room(request) or self._closed):
                self._working -= 1
                self._due.notify()
                self._room.wait()
                self._working += 1
            if self._closed:
                raise RuntimeError("the batcher is closed")
            if self._queue.add(request, limits, self._clock()):
                self._due.notify()
        return request.future

    def _change_working(self, by: int) -> None:
        with self._lock:
            self._working += by
            if self._working == 0:
                self._due.notify()

    def _serve(self) -> None:
        self._prepare()
        while batch := self._next():
            run_bisecting(batch, self._run)
            del batch  # frees its arrays before the next batch comes

    def _next(self) -> list[Request]:
        """Wait until a batch is due. Returns [] if the batcher is closed and empty."""
        with self._lock:
            while True:
                all_here = self._closed or self._working == 0
                batch = self._queue.take(self._clock(), all_here=all_here)
                if batch:
                    self._room.notify_all()
                    return batch
                if self._closed:
                    return []
                due_at = self._queue.next_due_at()
                self._due.wait(None if due_at is None else max(0.0, due_at - self._clock()))
