"""The checkpoint of a running job: it reports progress, and asks if the job was cancelled."""

import math
import time

from agewell.shared.errors import CancelledError
from agewell.shared.queue.ledger import Ledger

POLL_S = 0.5
"""Seconds between two calls to Redis."""


class JobPoll:
    """A checkpoint that asks the ledger if the job was cancelled, at most twice a second.

    It records the job's progress with the same call.
    """

    def __init__(self, ledger: Ledger, job_id: str) -> None:
        self._ledger = ledger
        self._job_id = job_id
        self._done: float | None = None
        self._next_at = time.monotonic() + POLL_S

    def progress(self, done: float) -> None:
        """Keep the part of the job that is done, 0 to 1, for the next call to Redis.

        Raises:
            CancelledError: the job was cancelled.
        """
        if math.isfinite(done):
            self._done = min(max(done, 0.0), 1.0)
        self()

    def __call__(self) -> None:
        """Return at once, or ask the ledger if it is time.

        Raises:
            CancelledError: the job was cancelled.
        """
        now = time.monotonic()
        if now < self._next_at:
            return
        self._next_at = now + POLL_S
        if self._ledger.report(self._job_id, self._done):
            raise CancelledError
