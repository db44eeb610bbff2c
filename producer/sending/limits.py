"""Limits that push back: no more jobs than a queue, or Redis's memory, has room for.

A Redis that has just started takes none from a user who may not give it scripts (`Script`).
"""

import time
from collections.abc import Callable

import redis

from agewell.producer.session import Session
from agewell.shared.errors import BrokerFullError, QueueFullError, ScriptsMissingError
from agewell.shared.protocol.tasks import Queue
from agewell.shared.queue.publish import PUBLISH
from agewell.shared.redis import keys
from agewell.shared.redis.connection import REDIS_ERRORS, unreachable, url_of
from agewell.shared.text.urls import without_password

CREDIT_JOBS = 100
"""So many jobs are sent on one answer: by so many may each of several producers overshoot."""

CREDIT_S = 0.2
LOOK_AGAIN_S = 0.5

MEMORY_KEPT = 0.1
"""Of Redis's maxmemory, kept for workers: what they write ends jobs, and so makes room."""

LimitError = QueueFullError | BrokerFullError | ScriptsMissingError
OnFull = Callable[[LimitError], None]
"""Told that there is no room, each time that it is looked for; raises in order not to wait."""


def refuse(error: LimitError) -> None:
    """Do not wait."""
    raise error


class Credit:
    """How many more jobs each queue takes, asked of Redis between pipelines."""

    def __init__(self, session: Session, on_full: OnFull = refuse) -> None:
        self._session = session
        self._on_full = on_full
        self._left: dict[Queue, int] = {}
        self._asked_at = -CREDIT_S

    def spend(self, queue: Queue) -> bool:
        """Take the place of one job; False where it is time to publish, and to ask again."""
        if time.monotonic() - self._asked_at > CREDIT_S or not self._left.get(queue):
            return False
        self._left[queue] -= 1
        return True

    def refill(self, queue: Queue) -> None:
        """See how much room there is, as soon as there is any; all else has been published.

        Raises:
            QueueFullError: as many jobs wait as may, and `on_full` does not wait.
            BrokerFullError: Redis is all but full, and it does not wait.
            ScriptsMissingError: Redis has no scripts yet, and it does not wait.
            BrokerUnreachableError: Redis does not answer.
        """
        while True:
            try:
                self._ask(queue)
                return
            except (QueueFullError, BrokerFullError, ScriptsMissingError) as error:
                self._on_full(error)
                time.sleep(LOOK_AGAIN_S)

    def _ask(self, queue: Queue) -> None:
        """Ask Redis how many jobs it takes: at least one, or it raises."""
        settings, limit = self._session.settings, self._session.settings.max_waiting
        try:
            PUBLISH(self._session.client, [])
            left = _memory_left(self._session.client)
            waiting = _count_waiting(self._session.client, queue) if limit else 0
        except REDIS_ERRORS as error:
            raise unreachable(settings, error) from error
        if left is not None and left <= MEMORY_KEPT:
            reason = f"{1 - left:.0%} of its maxmemory is used; the rest is kept for the workers"
            raise BrokerFullError(without_password(url_of(settings)), reason)
        if limit and waiting >= limit:
            raise QueueFullError(queue.value, waiting, limit)
        self._left = {queue: min(CREDIT_JOBS, limit - waiting) if limit else CREDIT_JOBS}
        self._asked_at = time.monotonic()


def _count_waiting(client: redis.Redis, queue: Queue) -> int:
    pipe = client.pipeline(transaction=False)
    for inlet in keys.inlets(queue.value):
        pipe.llen(inlet)
    pipe.zcard(keys.order(queue.value))
    pipe.zcard(keys.scheduled(queue.value))
    return sum(pipe.execute())


def _memory_left(client: redis.Redis) -> float | None:
    """The share of Redis's maxmemory that is unused; None where it has none, or will not say."""
    try:
        memory = client.info("memory")
    except redis.exceptions.NoPermissionError:
        return None
    most = int(memory.get("maxmemory", 0))
    return 1 - int(memory["used_memory"]) / most if most else None
