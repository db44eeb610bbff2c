"""Admits the messages of plain Celery clients and jobs that become due, ten times a second.

agewell's own clients wake an idle worker when they publish. A plain Celery client only pushes to a
list, and nothing is published when a job becomes due, or when the rate of a tenant allows its next
job. So upkeep checks for all of them from its main loop, because its tasks may be busy. Without
upkeep, each worker's heartbeat checks once a second.
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
SOONEST_S = 0.002
"""The least seconds until a check for a tenant that waits for its rate."""
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
        self._early_entry: Any = None
        self._clock = RedisClock()
        self._timer: Any = None
        self._not_before = 0.0

    def start(self, consumer: Any) -> None:
        """Check from now on."""
        self._timer = consumer.timer
        self._timer_entry = consumer.timer.call_repeatedly(
            LOOK_EVERY_S, self._look, (context().client,)
        )

    def stop(self, consumer: Any) -> None:
        """Stop the checks."""
        del consumer
        for entry in (self._timer_entry, self._early_entry):
            if entry is not None:
                entry.cancel()

    def _look(self, client: redis.Redis) -> None:
        if time.monotonic() < self._not_before:
            return
        settings = context().settings
        try:
            now = self._clock.now(client)
            look_at = admit_for(
                ADMIT_S, client, settings.k_by_queue(), now, settings.max_message_bytes
            )
        except redis.ResponseError as error:
            # For example a replica after a failover. A lost connection restarts the consumer.
            log.warning("could not admit plain messages and due jobs, Redis says: %s", error)
            self._not_before = time.monotonic() + LOOK_AGAIN_S
            return
        if look_at is not None and look_at - now < LOOK_EVERY_S:
            self._look_early(client, max(SOONEST_S, look_at - now))

    def _look_early(self, client: redis.Redis, in_s: float) -> None:
        """Check before the next regular check, and only once."""
        if self._early_entry is not None:
            self._early_entry.cancel()
        self._early_entry = self._timer.call_after(in_s, self._look, (client,))


def install(app: Celery) -> None:
    """Have the workers of an app admit messages and due jobs."""
    app.steps["consumer"].add(AdmissionTimer)
