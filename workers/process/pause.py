"""A pause of this worker: it takes no jobs while its blob store is unreachable."""

import threading

from agewell.shared.errors import AgewellError
from agewell.workers.process.context import context


class Pause:
    """The pause of one process. Any thread may begin it."""

    def __init__(self) -> None:
        self.reason = ""
        """The error that began the pause. Empty if the worker is not paused."""
        self.is_confirmed = False
        """True if a check of the store failed too, and not only one job's access to it."""
        self._probe: threading.Thread | None = None
        self._is_back = False

    def begin(self, reason: str) -> None:
        """Take no more jobs, and check the store at once."""
        if not self.reason:
            self.reason, self.is_confirmed, self._is_back = reason, False, False
            self._start_probe()

    def end_if_store_answers(self) -> bool:
        """End the pause if the store has answered, and return True.

        Otherwise check the store again.
        """
        if self._is_back:
            self.reason = ""
            return True
        self._start_probe()
        return False

    def _start_probe(self) -> None:
        # In a thread, because a check of an unreachable store can take minutes.
        if self._probe is None or not self._probe.is_alive():
            self._probe = threading.Thread(target=self._ask, daemon=True)
            self._probe.start()

    def _ask(self) -> None:
        try:
            context().blobs.check()
        except AgewellError as error:
            self.reason, self.is_confirmed = str(error), True
        else:
            self._is_back = True


pause = Pause()
"""The pause of this process."""
