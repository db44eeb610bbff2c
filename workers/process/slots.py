"""A worker's slots, one a job that may run: none is lost to a message that cannot be started.

Celery takes a slot first and hands the message to the pool then. Where that fails, for what the
message says, it keeps the slot, and counts the message as held: a few of those stop a worker.
"""

import logging
from typing import Any

from celery import Celery, bootsteps
from celery.worker import state as worker_state

log = logging.getLogger(__name__)


class Slots(bootsteps.Step):  # type: ignore[misc]
    """Has the worker give back the slot of a message that it refuses."""

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        start = worker._process_task

        def start_or_refuse(request: Any) -> None:
            try:
                start(request)
            except Exception:
                log.exception("refused, cannot be started: %.200r", request)
                worker_state.task_ready(request)
                request.message.reject()
                if getattr(worker, "_quick_release", None):
                    worker._quick_release()

        worker._process_task = start_or_refuse


def install(app: Celery) -> None:
    """Guard the slots of an app's workers."""
    app.steps["worker"].add(Slots)
