"""Admits the messages of plain Celery clients and jobs that become due, ten times a second.

agewell's own clients wake an idle worker when they publish. A plain Celery client only pushes to a
list, and nothing is published when a job becomes due. So upkeep checks for both from its main loop,
because its tasks may be busy. Without upkeep, each worker's heartbeat checks once a second.
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
"""Seconds between two checks."""
ADMIT_S = 0.02
"""How long a check may admit jobs, in seconds. The main loop must also take messages and beat."""

LOOK_AGAIN_S = 5.0
"""Seconds until the next check after Redis has refused one."""


class AdmissionTimer(bootsteps.StartStopStep):  # type: ignore[misc]
    """Admits jobs and wakes idle workers, from the main loop of the upkeep worker."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._timer_entry: Any = None
        self._clock = RedisClock()
        self._not_before = 0.0

    def start(self, consumer: Any) -> None:
        """Check from now on."""
        self._timer_entry = consumer.timer.call_repeatedly(
            LOOK_EVERY_S, self._look, (context().client,)
        )

    def stop(self, consumer: Any) -> None:
        """Stop the checks."""
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
            # For example a replica after a failover. A lost connection restarts the consumer.
            log.warning("could not admit plain messages and due jobs, Redis says: %s", error)
            self._not_before = time.monotonic() + LOOK_AGAIN_S


def install(app: Celery) -> None:
    """Have the workers of an app admit messages and due jobs."""
    app.steps["consumer"].add(AdmissionTimer)
