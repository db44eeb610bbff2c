"""The cycle of takes on one connection: idle, waiting for a take's answer, or blocked.

A connection that takes messages has at most one command without an answer. The cycle knows which
one, and the work that must be repeated if its answer never comes. It needs neither kombu nor Redis.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from agewell.workers.consuming.pending_ends import EndArguments


@dataclass(frozen=True)
class PendingTake:
    """A take that was sent and has no answer yet."""

    tag: str
    """The delivery tag under which Redis reserves the message."""
    sent_at: float
    """Unix time in seconds, by Redis's clock."""
    acknowledged: Set[str]
    """Tags of deliveries that this take acknowledges."""
    ends: Mapping[str, EndArguments]
    """Ends of jobs, by job id, that this take writes."""
    queues: Sequence[str]
    """The queues from which it takes, in their order."""


class TakeCycle:
    """State of the connection that takes messages."""

    def __init__(self) -> None:
        self.pending: PendingTake | None = None
        """The take whose answer the connection waits for."""
        self.is_blocked = False
        """True while the connection waits on the worker's wake-up list."""
        self.unanswered: list[str] = []
        """Tags of takes whose answers may be lost. Redis may have reserved messages under them."""

    @property
    def is_idle(self) -> bool:
        """True if no answer is due."""
        return self.pending is None and not self.is_blocked

    def send(self, take: PendingTake) -> None:
        """Note that a take is sent."""
        self.pending = take

    def block(self) -> None:
        """Note that the connection blocks on the wake-up list."""
        self.is_blocked = True

    def finish(self) -> PendingTake | None:
        """Become idle. Returns the pending take, or None if the connection was blocked."""
        take, self.pending, self.is_blocked = self.pending, None, False
        return take

    def lose(self) -> PendingTake | None:
        """Become idle after the connection broke. Remembers the tag of a pending take."""
        take = self.finish()
        if take is not None:
            self.unanswered.append(take.tag)
        return take
