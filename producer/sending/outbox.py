"""Collects jobs to publish them together, which is many times faster than one by one."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from agewell.producer.sending.limits import Credit
from agewell.shared.protocol.tasks import Queue

OUTBOX_JOBS = 100

Unsent = TypeVar("Unsent")
Published = TypeVar("Published")


class Outbox(Generic[Unsent, Published]):
    """Collects jobs and publishes them in groups, as far as their queues have room."""

    def __init__(
        self,
        credit: Credit,
        publish: Callable[[Sequence[Unsent]], Sequence[Published]],
        max_wait_s: float = math.inf,
    ) -> None:
        """Start with an empty outbox, which is due at once.

        Args:
            credit: counts the jobs that the queues still take.
            publish: sends jobs in one pipeline, and returns one value for each that was sent.
            max_wait_s: the outbox is due this long after it was emptied, however few jobs are in
                it.
        """
        self._credit = credit
        self._publish = publish
        self._max_wait_s = max_wait_s
        self._unsent: list[Unsent] = []
        self._due_at = time.monotonic() if math.isfinite(max_wait_s) else math.inf

    def add(self, job: Unsent, queue: Queue) -> Iterator[Published]:
        """Add a job, and yield the jobs that had to be published before there was room for it.

        Nothing happens before the first `next()`, so exhaust the iterator.

        Raises:
            QueueFullError, BrokerFullError: there is no room, and the credit does not wait for it.
            BrokerUnreachableError: Redis does not answer.
        """
        while not self._credit.spend(queue):
            yield from self.flush()
            self._credit.refill(queue)
        self._unsent.append(job)

    def due(self) -> bool:
        """Tell if it is time to publish, because of the number of jobs or of their wait."""
        return len(self._unsent) >= OUTBOX_JOBS or time.monotonic() >= self._due_at

    def flush(self) -> Sequence[Published]:
        """Publish all jobs in the outbox.

        Raises:
            BrokerUnreachableError: Redis does not answer. The outbox is empty all the same.
        """
        if not self._unsent:
            return []
        unsent, self._unsent = self._unsent, []
        published = self._publish(unsent)
        self._due_at = time.monotonic() + self._max_wait_s
        return published
