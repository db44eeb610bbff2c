"""The time at which each message was enqueued: what aging goes by.

By Redis's clock, which all share, and not by the sender's own. A retry and the next step of a chain
keep the time of the first: they have waited since then.
"""

import time
from collections.abc import Callable
from typing import Any

import redis
from celery import current_task
from celery.app.amqp import AMQP

from shared.envelope import ENQUEUED_AT, time_of
from shared.names import DEFAULT_LEVEL


def redis_now(client: redis.Redis) -> float:
    """The time by Redis's clock: Unix time in seconds."""
    seconds, microseconds = client.time()
    return float(seconds) + float(microseconds) / 1e6


class RedisClock:
    """Redis's clock, asked once in a while: between, this machine's own plus the difference."""

    MEASURE_EVERY_S = 60.0
    JUMP_S = 0.1

    def __init__(self) -> None:
        self._ahead_s = 0.0
        self._measure_at = -1.0
        self._epoch = 0.0
        """When this machine's monotonic clock began, by its other one: moves where that is set."""

    def now(self, client: redis.Redis) -> float:
        """Unix time in seconds.

        Raises:
            redis.RedisError: Redis does not answer, when it is its turn to be asked.
        """
        epoch = time.time() - time.monotonic()
        if time.monotonic() >= self._measure_at or abs(epoch - self._epoch) > self.JUMP_S:
            asked = time.time()
            answer = redis_now(client)
            # Redis read its clock somewhere between question and answer.
            self._ahead_s = answer - (asked + time.time()) / 2
            self._measure_at = time.monotonic() + self.MEASURE_EVERY_S
            self._epoch = epoch
        return time.time() + self._ahead_s


class StampingAMQP(AMQP):  # type: ignore[misc]
    """Celery's publishing of tasks, each with its time in a header and with a level.

    Not a signal handler: those are called for the messages of every app in the process.
    """

    def _create_task_sender(self) -> Callable[..., Any]:
        send = super()._create_task_sender()
        clock = RedisClock()

        def send_stamped(producer: Any, name: str, message: Any, **options: Any) -> Any:
            if options.get("priority") is None:
                # task_default_priority speaks for a task's own apply_async, not for send_task.
                options["priority"] = DEFAULT_LEVEL
            given = options.get("headers") or {}
            if time_of(given.get(ENQUEUED_AT, message.headers.get(ENQUEUED_AT))) is None:
                options["headers"] = {k: v for k, v in given.items() if k != ENQUEUED_AT}
                inherited = enqueued_at(current_task.request) if current_task else None
                message.headers[ENQUEUED_AT] = (
                    clock.now(producer.channel.client) if inherited is None else inherited
                )
            return send(producer, name, message, **options)

        return send_stamped


def enqueued_at(request: Any) -> float | None:
    """When the job of a Celery task request was enqueued; None where nobody noted it."""
    return time_of((request.headers or {}).get(ENQUEUED_AT))
