"""Keeps a worker's slots free: a message that cannot be started does not occupy one for good.

Celery takes a slot first and then hands the message to the pool. If the message makes that fail,
Celery keeps the slot and counts the message as held. A few such messages stop a worker.
"""

import logging
from typing import Any

from celery import Celery, bootsteps
from celery.worker import state as worker_state

log = logging.getLogger(__name__)


class Slots(bootsteps.Step):  # type: ignore[misc]
    """Gives back the slot of a message that cannot be started, and refuses the message."""

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        start = worker._process_task

        def start_or_refuse(request: Any) -> None:
            try:
                start(request)
            except Exception:
                log.exception("job refused, it cannot be started: %.200r", request)
                worker_state.task_ready(request)
                request.message.reject()
                if getattr(worker, "_quick_release", None):
                    worker._quick_release()

        worker._process_task = start_or_refuse


def install(app: Celery) -> None:
    """Free the slots of messages that the workers of an app cannot start."""
    app.steps["worker"].add(Slots)
