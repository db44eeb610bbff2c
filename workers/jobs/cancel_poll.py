"""The checkpoint of a running job: it asks now and then whether the job shall end."""

import time

from agewell.shared.errors import CancelledError
from agewell.shared.queue.ledger import Ledger

CANCEL_POLL_S = 0.5


class CancelPoll:
    """A checkpoint that asks the ledger, at most every so often, whether the job shall end."""

    def __init__(self, ledger: Ledger, job_id: str) -> None:
        self._ledger = ledger
        self._job_id = job_id
        self._next_at = time.monotonic() + CANCEL_POLL_S

    def __call__(self) -> None:
        """Raise CancelledError if the job was cancelled."""
        now = time.monotonic()
        if now < self._next_at:
            return
        self._next_at = now + CANCEL_POLL_S
        if self._ledger.cancel_asked(self._job_id):
            raise CancelledError
