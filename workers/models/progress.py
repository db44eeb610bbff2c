"""Progress of long work, as lines on stderr."""

import time
from collections.abc import Callable

EVERY_S = 5.0

Say = Callable[[str], None]


class Progress:
    """Says how far a piece of work is, every five seconds at most."""

    def __init__(self, title: str, total: int, say: Say) -> None:
        """Begin.

        Args:
            title: the work, such as `calibrating`.
            total: number of its steps.
            say: gets each line.
        """
        self._title = title
        self._total = total
        self._say = say
        self._done = 0
        self._said_at = time.monotonic()

    def step(self) -> None:
        """Count one step. Say how many are done if the last line is five seconds old."""
        self._done += 1
        now = time.monotonic()
        if now - self._said_at >= EVERY_S:
            self._said_at = now
            self._say(f"{self._title}: {self._done} of {self._total}")
