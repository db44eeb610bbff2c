"""Beat's health: it notes that it works if the sweeps that it sends have run."""

import time
from typing import Any

import redis
from celery import signals

from agewell.shared.protocol.tasks import WORK_QUEUES, Task
from agewell.shared.redis import keys
from agewell.shared.redis.clock import redis_now
from agewell.workers.process.context import context
from agewell.workers.process.pulse import HEALTHY_FOR_S, note_healthy

LOOK_EVERY_S = 5.0
"""Shortest time between two looks at the last sweeps, in seconds."""


class BeatHealth:
    """Looks at the last sweeps whenever beat has sent one, but not more often than needed."""

    def __init__(self) -> None:
        self._looked_at = float("-inf")

    def look(self, **_: Any) -> None:
        """Note that beat is healthy if a sweep of any queue has run lately."""
        settings = context().settings
        if time.monotonic() - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = time.monotonic()
        within_s = max(HEALTHY_FOR_S, 5 * settings.aging_interval_s)
        if any(age_s <= within_s for age_s in _ages_of_sweeps(context().client)):
            note_healthy(settings.health_dir, "beat", within_s)


def install() -> None:
    """Have beat, and no other process that imports this module, note that it works."""
    signals.beat_init.connect(_watch, weak=False)


def _watch(**_: Any) -> None:
    signals.after_task_publish.connect(BeatHealth().look, sender=Task.SWEEP_AGING.value, weak=False)


def _ages_of_sweeps(client: redis.Redis) -> list[float]:
    """Return how many seconds ago each queue's last sweep ran. Those without any are left out."""
    pipe = client.pipeline(transaction=False)
    for queue in WORK_QUEUES:
        pipe.hget(keys.aging(queue), "last_run_at")
    now = redis_now(client)
    return [now - float(last_run_at) for last_run_at in pipe.execute() if last_run_at is not None]
