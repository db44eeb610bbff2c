"""The time at which each message was enqueued: what aging goes by.

By Redis's clock, which all share, and not by the sender's own. A retry and the next step of a chain
keep the time of the first: they have waited since then.
"""

import time
from typing import Any

import redis
from celery import Celery, current_task, signals

HEADER = "enqueued_at"


def redis_now(client: redis.Redis) -> float:
    """The time by Redis's clock: Unix time in seconds."""
    seconds, microseconds = client.time()
    return float(seconds) + float(microseconds) / 1e6


class RedisClock:
    """Redis's clock, asked once in a while: between, this machine's own plus the difference."""

    MEASURE_EVERY_S = 60.0

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._ahead_s = 0.0
        self._measure_at = -1.0

    def now(self) -> float:
        """Unix time in seconds.

        Raises:
            redis.RedisError: Redis does not answer, when it is its turn to be asked.
        """
        if time.monotonic() >= self._measure_at:
            asked = time.time()
            answer = redis_now(self._client)
            # Redis read its clock somewhere between question and answer.
            self._ahead_s = answer - (asked + time.time()) / 2
            self._measure_at = time.monotonic() + self.MEASURE_EVERY_S
        return time.time() + self._ahead_s


def stamp_messages(app: Celery, clock: RedisClock) -> None:
    """Have every message that is published through an app carry its time."""

    def stamp(headers: dict[str, Any], **_: Any) -> None:
        if HEADER not in headers:
            inherited = enqueued_at(current_task.request) if current_task else None
            headers[HEADER] = clock.now() if inherited is None else inherited

    signals.before_task_publish.connect(stamp, weak=False, dispatch_uid=f"agewell:{id(app)}")


def enqueued_at(request: Any) -> float | None:
    """When the job of a Celery task request was enqueued; None where nobody noted it."""
    found = (request.headers or {}).get(HEADER)
    return float(found) if isinstance(found, int | float) else None
