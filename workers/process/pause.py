"""A pause of this worker: it takes no jobs while its blob store is away."""

import threading

from agewell.shared.errors import AgewellError
from agewell.workers.process.context import context


class Pause:
    """Says whether this process takes jobs; any thread may pause it."""

    def __init__(self) -> None:
        self.reason = ""
        self.is_confirmed = False
        """True if the store itself was seen to fail, and not one job's bytes alone."""
        self._probe: threading.Thread | None = None
        self._is_back = False

    def begin(self, reason: str) -> None:
        """Take no jobs from now on, and ask the store at once."""
        if not self.reason:
            self.reason, self.is_confirmed, self._is_back = reason, False, False
            self._start_probe()

    def look(self) -> bool:
        """Find out whether the store is back; asks it again if not."""
        if self._is_back:
            self.reason = ""
            return True
        self._start_probe()
        return False

    def _start_probe(self) -> None:
        # In a thread: a store that is away may not answer for minutes.
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
"""This process's."""
