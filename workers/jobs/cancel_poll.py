"""The checkpoint of a running job: it checks from time to time if the job was cancelled."""

import time

from agewell.shared.errors import CancelledError
from agewell.shared.queue.ledger import Ledger

CANCEL_POLL_S = 0.5
"""Seconds between two checks."""


class CancelPoll:
    """A checkpoint that asks the ledger if the job was cancelled, at most twice a second."""

    def __init__(self, ledger: Ledger, job_id: str) -> None:
        self._ledger = ledger
        self._job_id = job_id
        self._next_at = time.monotonic() + CANCEL_POLL_S

    def __call__(self) -> None:
        """Return at once, or ask the ledger if it is time.

        Raises:
            CancelledError: the job was cancelled.
        """
        now = time.monotonic()
        if now < self._next_at:
            return
        self._next_at = now + CANCEL_POLL_S
        if self._ledger.cancel_asked(self._job_id):
            raise CancelledError
