"""Waiting jobs whose deadlines have passed end as expired."""

from typing import Any

import redis
from celery.exceptions import TaskRevokedError

from shared import keys
from shared.queue.end_many import end_many
from shared.queue.ledger import Lifetimes
from shared.queue.record import State
from shared.results import EXPIRED

CALLS_A_TICK = 100


def expire(backend: Any, client: redis.Redis, lifetimes: Lifetimes, now: float) -> int:
    """End the waiting jobs whose deadlines have passed; how many.

    Args:
        backend: Celery's result backend: it also fails the chords that wait for such jobs.
        client: Redis.
        lifetimes: how long their records and results are kept.
        now: Unix time in seconds, by Redis's clock.
    """
    expired = 0
    for _ in range(CALLS_A_TICK):
        part = end_many(client, keys.DEADLINES, State.EXPIRED, now, lifetimes)
        error = TaskRevokedError(EXPIRED)
        expired += part.ended
        for job_id in part.counted_by_chords:
            expired += backend.end_open(job_id, error, State.WAITING)
        if not part.listed:
            break
    return expired
