"""Upkeep's watch over what nobody is told of: plain clients' messages, and jobs that come due.

Publishing wakes an idle worker itself. A plain Celery client only pushes onto a list, and time
tells nobody anything, so upkeep looks at both ten times a second, from its main loop: its tasks
may be at work on something else. Without upkeep, each worker's heartbeat looks once a second.
"""

import logging
import time
from typing import Any

import redis
from celery import Celery, bootsteps
from celery.worker.consumer.tasks import Tasks

from agewell.shared.queue.admit import admit_for
from agewell.shared.redis.clock import RedisClock
from agewell.workers.process.context import context

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.1
ADMIT_S = 0.02
"""The longest that a look admits jobs: the main loop has messages to take and a heartbeat."""

LOOK_AGAIN_S = 5.0
"""How long to leave a Redis alone that has refused to be looked at."""


class InletWatch(bootsteps.StartStopStep):  # type: ignore[misc]
    """Admits jobs and wakes idle workers, from the main loop of the upkeep worker."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._timer_entry: Any = None
        self._clock = RedisClock()
        self._not_before = 0.0

    def start(self, consumer: Any) -> None:
        """Look from now on."""
        self._timer_entry = consumer.timer.call_repeatedly(
            LOOK_EVERY_S, self._look, (context().client,)
        )

    def stop(self, consumer: Any) -> None:
        """Look no more."""
        del consumer
        if self._timer_entry is not None:
            self._timer_entry.cancel()

    def _look(self, client: redis.Redis) -> None:
        if time.monotonic() < self._not_before:
            return
        settings = context().settings
        try:
            now = self._clock.now(client)
            admit_for(ADMIT_S, client, settings.k_by_queue(), now, settings.max_message_bytes)
        except redis.ResponseError as error:
            # A replica since a failover, say. A lost connection restarts the consumer instead.
            log.warning("plain messages and due jobs are not looked for, Redis says: %s", error)
            self._not_before = time.monotonic() + LOOK_AGAIN_S


def install(app: Celery) -> None:
    """Have the workers of an app watch the inlets."""
    app.steps["consumer"].add(InletWatch)
