"""A worker whose blob store cannot be reached takes no jobs until the store is back.

Its jobs would all fail, and wait for another try. The jobs that it has are tried again without
counting against their retries (`agewell.workers.jobs.delivery`); the others stay in their queue.
"""

import logging
from typing import Any

from celery import Celery, bootsteps
from celery.worker.consumer.tasks import Tasks

from agewell.shared.errors import BlobStoreError
from agewell.shared.queue.paused_workers import say_paused, say_resumed
from agewell.shared.redis import keys
from agewell.shared.redis.connection import REDIS_ERRORS
from agewell.shared.redis.counters import add_counts
from agewell.workers.jobs.time_limit import LimitedRequest
from agewell.workers.process.context import context
from agewell.workers.process.pause import pause

log = logging.getLogger(__name__)

LOOK_S = 1.0


class PausingRequest(LimitedRequest):
    """Celery's request; one that is tried again because of the blob store pauses the worker."""

    def on_retry(self, exc_info: Any) -> None:
        """Look at the reason first."""
        error = exc_info.exception.exc
        if isinstance(error, BlobStoreError):
            pause.begin(str(error))
        super().on_retry(exc_info)


class Watch(bootsteps.StartStopStep):  # type: ignore[misc]
    """Looks from the worker's main loop whether the store is back, and then has it take jobs."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._timer_entry: Any = None
        self._is_said = False

    def start(self, consumer: Any) -> None:
        """Look every so often."""
        self._timer_entry = consumer.timer.call_repeatedly(LOOK_S, self._look, (consumer,))

    def stop(self, consumer: Any) -> None:
        """Look no more: the worker stops, or connects anew and starts this again."""
        del consumer
        if self._timer_entry is not None:
            self._timer_entry.cancel()

    def _look(self, consumer: Any) -> None:
        if not pause.reason:
            return
        if pause.look():
            self._resume(consumer)
        elif pause.is_confirmed:
            self._say(consumer.app.conf.agewell_worker_id)

    def _say(self, run: str) -> None:
        client = context().client
        try:
            say_paused(client, run, pause.reason)
            if not self._is_said:
                log.error("taking no jobs until the store is back: %s", pause.reason)
                self._is_said = True
                add_counts(client, keys.COUNTS, [("paused", 1)])
        except REDIS_ERRORS as error:
            log.debug("Redis could not be told: %s", error)

    def _resume(self, consumer: Any) -> None:
        if self._is_said:
            log.warning("the blob store is back: taking jobs again")
            self._is_said = False
        try:
            say_resumed(context().client, consumer.app.conf.agewell_worker_id)
        except REDIS_ERRORS as error:
            log.debug("Redis could not be told: %s", error)


def install(app: Celery) -> None:
    """Have an app's workers pause while their blob store is away; after `time_limit.install`."""
    app.Task.Request = PausingRequest
    app.steps["consumer"].add(Watch)
