"""Back-pressure: stop sending when a queue has enough jobs, or when Redis's memory is nearly full.

A Redis that has just started has no scripts. A producer whose Redis user may not load them must
wait until a worker has (`ScriptsMissingError`).
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
"""Jobs to send before asking Redis again. Each of several producers may exceed a limit by these."""

CREDIT_S = 0.2
LOOK_AGAIN_S = 0.5

MEMORY_KEPT = 0.1
"""Share of Redis's maxmemory that producers leave free. Workers need it to end jobs."""

LimitError = QueueFullError | BrokerFullError | ScriptsMissingError
OnFull = Callable[[LimitError], None]
"""Called each time a look finds no room. It raises the error, or returns to look again later."""


def refuse(error: LimitError) -> None:
    """Raise the error, so that the caller does not wait for room."""
    raise error


class Credit:
    """Counts the jobs that may still be sent before Redis must be asked again."""

    def __init__(self, session: Session, on_full: OnFull = refuse) -> None:
        self._session = session
        self._on_full = on_full
        self._left: dict[Queue, int] = {}
        self._asked_at = -CREDIT_S

    def spend(self, queue: Queue) -> bool:
        """Reserve room for one job. Returns False if the caller must publish and call `refill`."""
        if time.monotonic() - self._asked_at > CREDIT_S or not self._left.get(queue):
            return False
        self._left[queue] -= 1
        return True

    def refill(self, queue: Queue) -> None:
        """Ask Redis how many jobs it takes, again and again until it takes one.

        Publish all other jobs first, so that Redis counts them.

        Raises:
            QueueFullError: the queue has AGEWELL_MAX_WAITING jobs, and `on_full` raised it.
            BrokerFullError: Redis's memory is nearly full, and `on_full` raised it.
            ScriptsMissingError: Redis has no scripts yet, and `on_full` raised it.
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
        """Ask Redis how many jobs it takes. Raises if it takes none."""
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
    """Return the free share of Redis's maxmemory, 0 to 1.

    Returns None if maxmemory is not set, or if this user may not ask.
    """
    try:
        memory = client.info("memory")
    except redis.exceptions.NoPermissionError:
        return None
    most = int(memory.get("maxmemory", 0))
    return 1 - int(memory["used_memory"]) / most if most else None
