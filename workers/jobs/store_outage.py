"""Pauses a worker while its blob store is unreachable.

Without the pause, all its jobs would fail and be retried. The jobs that it has already taken are
retried, and these retries do not count (`agewell.workers.jobs.retries`). The others stay queued.
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
"""Seconds between two checks of the blob store."""


class PausingRequest(LimitedRequest):
    """Celery's request. A retry because of the blob store pauses the worker."""

    def on_retry(self, exc_info: Any) -> None:
        """Begin a pause if the blob store caused the retry."""
        error = exc_info.exception.exc
        if isinstance(error, BlobStoreError):
            pause.begin(str(error))
        super().on_retry(exc_info)


class StoreWatch(bootsteps.StartStopStep):  # type: ignore[misc]
    """Checks from the worker's main loop if the store answers again, and then ends the pause."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._timer_entry: Any = None
        self._is_announced = False

    def start(self, consumer: Any) -> None:
        """Check periodically from now on."""
        self._timer_entry = consumer.timer.call_repeatedly(LOOK_S, self._look, (consumer,))

    def stop(self, consumer: Any) -> None:
        """Stop the checks. The worker shuts down, or it reconnects and starts them again."""
        del consumer
        if self._timer_entry is not None:
            self._timer_entry.cancel()

    def _look(self, consumer: Any) -> None:
        if not pause.reason:
            return
        if pause.end_if_store_answers():
            self._resume(consumer)
        elif pause.is_confirmed:
            self._announce(consumer.app.conf.agewell_worker_id)

    def _announce(self, worker_id: str) -> None:
        client = context().client
        try:
            say_paused(client, worker_id, pause.reason)
            if not self._is_announced:
                log.error("paused until the blob store answers again: %s", pause.reason)
                self._is_announced = True
                add_counts(client, keys.COUNTS, [("paused", 1)])
        except REDIS_ERRORS as error:
            log.debug("could not record the pause in Redis: %s", error)

    def _resume(self, consumer: Any) -> None:
        if self._is_announced:
            log.warning("the blob store answers again: taking jobs")
            self._is_announced = False
        try:
            say_resumed(context().client, consumer.app.conf.agewell_worker_id)
        except REDIS_ERRORS as error:
            log.debug("could not record the end of the pause in Redis: %s", error)


def install(app: Celery) -> None:
    """Pause the workers of an app while their blob store is down.

    Call `time_limit.install` before.
    """
    app.Task.Request = PausingRequest
    app.steps["consumer"].add(StoreWatch)
