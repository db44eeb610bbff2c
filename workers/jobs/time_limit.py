"""The time limit: a job that runs too long fails, and the process in which it hangs is replaced.

Celery can kill single processes of the prefork pool. A thread cannot be killed. With a thread pool,
the job is recorded as failed, the other jobs get time to finish, and then the whole worker process
ends. Its supervisor restarts it, and the jobs that it still held are requeued.

A native call that never releases Python's interpreter stops all other threads, including the
worker's main loop. The heartbeat lapses and the worker's jobs are requeued (`process.heartbeat`).
The process ends itself after `HUNG_AFTER_S`. A job that does this to every worker becomes a dead
letter after `AGEWELL_MAX_DELIVERIES`.
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
"""Seconds between two checks at most."""
GRACE_S = 10.0
"""A main loop may stop for this much longer than the time limit of a job."""
HUNG_AFTER_S = 120.0
"""A main loop that stops for this long is blocked by a native call. If the time limit plus
`GRACE_S` is shorter, that counts. A Redis that does not answer blocks the loop for 40 s at most."""

log = logging.getLogger(__name__)


class LimitedRequest(Request):  # type: ignore[misc]
    """Celery's request.

    A job over the time limit fails with agewell's error, which every client can read.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # A message must not override the worker's limit; its value may not even be a number.
        self.time_limits = (None, None)

    def terminate(self, pool: Any, signal: Any = None) -> None:
        """Stop a job that is revoked.

        A thread cannot be killed, so its job ends at its next checkpoint.
        """
        if self.time_start and not isinstance(pool, PreforkPool):
            revoked = TaskRevokedError("cancelled")
            self.task.backend.end_open(self.id, revoked, State.WAITING)
        else:
            super().terminate(pool, signal)

    def on_failure(self, exc_info: Any, *args: Any, **options: Any) -> Any:
        """Leave an exceeded time limit to `on_timeout`, which the pool calls next."""
        error = exc_info.exception
        if isinstance(getattr(error, "exc", error), TimeLimitExceeded):  # billiard wraps some
            return None
        return super().on_failure(exc_info, *args, **options)

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """Record that the job exceeded its time limit."""
        if soft or worker_state.should_terminate:
            super().on_timeout(soft, timeout)
            return
        worker_state.task_ready(self)
        error = JobTimeoutError(float(timeout))
        self._record_inputs()
        log.error("job %s (%s) failed: %s", self.id, self.name, error)
        backend = self.task.backend
        backend.mark_as_failure(
            self.id, error, request=self._context, store_result=self.store_errors
        )
        self.send_event("task-failed", exception=repr(error), traceback="")
        self.acknowledge()

    def _record_inputs(self) -> None:
        """Record the job's images for its page, because one of them may be the reason."""
        job, _ = job_of(self.args)
        if job is not None:
            setattr(self._context, INPUTS, pack(inputs_of(job)))


class TimeLimitWatch(bootsteps.StartStopStep):  # type: ignore[misc]
    """Checks from the worker's main loop for jobs over their time limit.

    It is for thread pools. The prefork pool does this itself.
    """

    requires = (Tasks,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        conf = consumer.app.conf
        self._limit_s: float = conf.task_time_limit or 0.0
        self._drain_s: float = conf.agewell_drain_s
        self._timer_entry: Any = None
        self._leaving = False

    def include_if(self, consumer: Any) -> bool:
        """True if jobs run in threads."""
        return not isinstance(consumer.pool, PreforkPool)

    def start(self, consumer: Any) -> None:
        """Check now, and then periodically."""
        every_s = min(LOOK_S, self._limit_s / 2) if self._limit_s else LOOK_S
        self._timer_entry = consumer.timer.call_repeatedly(every_s, self.look)
        self.look()

    def stop(self, consumer: Any) -> None:
        """Stop the checks. The worker shuts down, or it reconnects and starts them again."""
        del consumer
        faulthandler.cancel_dump_traceback_later()
        if self._timer_entry is not None:
            self._timer_entry.cancel()

    def look(self) -> None:
        """Fail every job over the time limit, and then end this process."""
        # A native call that never releases the interpreter stops this loop too. The watchdog of
        # faulthandler needs no interpreter: it dumps the stack of each thread and ends the process.
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
                finally:  # the thread hangs, even if the failure could not be recorded in Redis
                    self._leave()

    def _leave(self) -> None:
        """Take no more jobs, and end once the others have finished or their time is over."""
        if not self._leaving:
            self._leaving = True
            log.error(
                "shutting this worker down: a job exceeded its time limit and cannot be killed"
            )
            backstop = threading.Timer(self._drain_s, os._exit, (os.EX_SOFTWARE,))
            backstop.daemon = True
            backstop.start()
            os.kill(os.getpid(), signal.SIGTERM)


def install(app: Celery, settings: Settings) -> None:
    """Limit the run time of every job of a worker's app."""
    app.conf.task_time_limit = settings.job_time_limit_s or None
    app.conf.agewell_drain_s = settings.drain_s
    app.Task.Request = LimitedRequest
    app.steps["consumer"].add(TimeLimitWatch)
