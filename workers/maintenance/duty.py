"""A duty of upkeep: a task that beat sends, and of which at most one run is active."""

import logging
import threading
from collections.abc import Callable
from functools import wraps
from typing import cast

from celery import shared_task

from agewell.shared.protocol.tasks import Task

log = logging.getLogger(__name__)

Duty = Callable[[], None]


def duty(name: Task) -> Callable[[Duty], Duty]:
    """Make a function a task of upkeep. Its results are not stored, and Flower does not list it.

    A duty that hangs, for example because the blob store does not answer, blocks one thread of the
    worker. Its next runs return at once, so the other duties go on.
    """
    task = shared_task(name=name.value, ignore_result=True, send_events=False)

    def decorate(run: Duty) -> Duty:
        runs = threading.Lock()

        @wraps(run)
        def run_alone() -> None:
            if not runs.acquire(blocking=False):
                log.warning("%s skipped: the previous run has not finished", name.value)
                return
            try:
                run()
            finally:
                runs.release()

        return cast("Duty", task(run_alone))

    return decorate
