"""A job that runs for too long fails, and the process that it hangs in is replaced.

Processes of the prefork pool can be killed one by one, and Celery does that. A thread cannot be:
there the job is recorded as failed, the others get their time to end, and the worker's whole
process ends; whoever runs it starts it again, and what it still held returns to its queue.

A thread in a native call that never lets go of Python's interpreter stops all others, and with them
the worker's main loop. Its heartbeat lapses and its jobs go to others (`process.heartbeat`); it
ends itself after `HUNG_AFTER_S`. The job that does this to each worker that takes it goes to the
dead letters after `AGEWELL_MAX_DELIVERIES`.
"""

import faulthandler
import logging
import os
import signal
import sys
import threading
import time
from typing import Any

from billiard.exceptions import TimeLimitExceeded
from celery import Celery, bootsteps
from celery.concurrency.prefork import TaskPool as PreforkPool
from celery.exceptions import TaskRevokedError
from celery.worker import state as worker_state
from celery.worker.consumer.tasks import Tasks
from celery.worker.request import Request

from agewell.shared.errors import JobTimeoutError
from agewell.shared.queue.ending import INPUTS
from agewell.shared.queue.record import State
from agewell.shared.settings import Settings
from agewell.workers.jobs.chaining import job_of
from agewell.workers.jobs.recorded_inputs import inputs_of, pack

LOOK_S = 1.0
GRACE_S = 10.0
HUNG_AFTER_S = 120.0
"""A main loop that has not looked for so long, or for so long beyond the limit where that is less,
is held up by a native call; Redis, when it does not answer, holds it up for 40 s at the most."""

log = logging.getLogger(__name__)


class LimitedRequest(Request):  # type: ignore[misc]
    """Celery's request; a time limit's error is ours, which every client can read."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # A message cannot set aside the worker's limit, nor bring what is no number.
        self.time_limits = (None, None)

    def terminate(self, pool: Any, signal: Any = None) -> None:
        """Stop a job that is revoked. A thread cannot be killed: its job ends at its next step."""
        if self.time_start and not isinstance(pool, PreforkPool):
            revoked = TaskRevokedError("cancelled")
            self.task.backend.end_open(self.id, revoked, State.WAITING)
        else:
            super().terminate(pool, signal)

    def on_failure(self, exc_info: Any, *args: Any, **options: Any) -> Any:
        """Leave it to `on_timeout`, which the pool calls right after: a job ends once."""
        error = exc_info.exception
        if isinstance(getattr(error, "exc", error), TimeLimitExceeded):  # billiard wraps some
            return None
        return super().on_failure(exc_info, *args, **options)

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """Record that the job ran for too long."""
        if soft or worker_state.should_terminate:
            super().on_timeout(soft, timeout)
            return
        worker_state.task_ready(self)
        error = JobTimeoutError(float(timeout))
        self._note_inputs()
        log.error("%s[%s] %s", self.name, self.id, error)
        backend = self.task.backend
        backend.mark_as_failure(
            self.id, error, request=self._context, store_result=self.store_errors
        )
        self.send_event("task-failed", exception=repr(error), traceback="")
        self.acknowledge()

    def _note_inputs(self) -> None:
        """Keep the job's images for its page: one of them may be why it ran for too long."""
        job, _ = job_of(self.args)
        if job is not None:
            setattr(self._context, INPUTS, pack(inputs_of(job)))


class Watch(bootsteps.StartStopStep):  # type: ignore[misc]
    """Looks from the worker's main loop for jobs that have run too long, where no pool does."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        conf = consumer.app.conf
        self._limit_s: float = conf.task_time_limit or 0.0
        self._drain_s: float = conf.agewell_drain_s
        self._timer_entry: Any = None
        self._leaving = False

    def include_if(self, consumer: Any) -> bool:
        """Only where jobs are threads."""
        return not isinstance(consumer.pool, PreforkPool)

    def start(self, consumer: Any) -> None:
        """Look now, and every so often from then on."""
        every_s = min(LOOK_S, self._limit_s / 2) if self._limit_s else LOOK_S
        self._timer_entry = consumer.timer.call_repeatedly(every_s, self.look)
        self.look()

    def stop(self, consumer: Any) -> None:
        """Look no more: the worker stops, or connects anew and starts this again."""
        del consumer
        faulthandler.cancel_dump_traceback_later()
        if self._timer_entry is not None:
            self._timer_entry.cancel()

    def look(self) -> None:
        """End every job that has run for too long, and then this process."""
        # A native call that never lets go of the interpreter stops this loop, too. The watchdog
        # of faulthandler needs no interpreter: it says where every thread is, and ends the process.
        hung_after_s = min(HUNG_AFTER_S, self._limit_s + GRACE_S) if self._limit_s else HUNG_AFTER_S
        faulthandler.dump_traceback_later(
            hung_after_s, exit=True, file=sys.__stderr__ or sys.stderr
        )
        if not self._limit_s:
            return
        began_before = time.time() - self._limit_s
        for request in list(worker_state.active_requests):
            if request.time_start and request.time_start < began_before:
                try:
                    request.on_timeout(False, self._limit_s)
                finally:  # its thread hangs, whether or not Redis could be told
                    self._leave()

    def _leave(self) -> None:
        """Take no more jobs; end when the others have ended, or their time is over."""
        if not self._leaving:
            self._leaving = True
            log.error("this process ends: a thread of it hangs")
            backstop = threading.Timer(self._drain_s, os._exit, (os.EX_SOFTWARE,))
            backstop.daemon = True
            backstop.start()
            os.kill(os.getpid(), signal.SIGTERM)


def install(app: Celery, settings: Settings) -> None:
    """Limit the time of every job of a worker's app."""
    app.conf.task_time_limit = settings.job_time_limit_s or None
    app.conf.agewell_drain_s = settings.drain_s
    app.Task.Request = LimitedRequest
    app.steps["consumer"].add(Watch)
