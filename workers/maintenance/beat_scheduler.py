"""Beat's scheduler, which sleeps instead of looking again every few milliseconds."""

import logging
from typing import Any

from celery.beat import PersistentScheduler, SchedulingError

log = logging.getLogger(__name__)

SLEEP_AT_LEAST_S = 0.05
"""Celery's scheduler wakes 10 ms before a task is due, and then looks again and again until it is:
67 times a second with three tasks a second, which took more time than sending them."""


class Scheduler(PersistentScheduler):  # type: ignore[misc]
    """Celery's own scheduler, a little less punctual, and brief about a Redis that is away."""

    def tick(self, *args: object, **kwargs: object) -> float:
        """Send the tasks that are due, and return how long to sleep, in seconds."""
        return max(SLEEP_AT_LEAST_S, float(super().tick(*args, **kwargs)))

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send a task that is due. Celery would write a hundred lines for each that it cannot."""
        log.info("Scheduler: Sending due task %s (%s)", entry.name, entry.task)
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except SchedulingError as error:
            log.error("%s", " ".join(str(error).split()))
        except Exception:
            log.exception("could not send %s", entry.name)


NAME = f"{__name__}:{Scheduler.__name__}"
"""How `beat_scheduler` in Celery's configuration names it."""
