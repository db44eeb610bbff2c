"""Waiting jobs whose deadlines have passed end as expired; ended jobs are forgotten in time."""

from time import monotonic
from typing import Any

import redis
from celery.exceptions import TaskRevokedError

from shared import keys
from shared.queue.end_many import end_many
from shared.queue.ledger import Ledger, Lifetimes
from shared.queue.record import State
from shared.results import EXPIRED

BUDGET_S = 0.5
"""A tick stops after this time; the next one goes on."""


def expire(
    backend: Any, client: redis.Redis, lifetimes: Lifetimes, now: float, budget_s: float = BUDGET_S
) -> int:
    """End the waiting jobs whose deadlines have passed.

    Args:
        backend: Celery's result backend: it also fails the chords that wait for such jobs.
        client: Redis.
        lifetimes: how long their records and results are kept.
        now: Unix time in seconds, by Redis's clock.
        budget_s: how long this call may take, in seconds.

    Returns:
        How many jobs have ended.
    """
    stop_at, expired = monotonic() + budget_s, 0
    while monotonic() < stop_at:
        part = end_many(client, keys.DEADLINES, State.EXPIRED, now, lifetimes)
        expired += part.ended
        for job_id in part.counted_by_chords:
            # A purged part of a chord comes here at once: only a result backend can fail the chord.
            reason = "cancelled" if backend.ledger.cancel_asked(job_id) else EXPIRED
            expired += backend.end_open(job_id, TaskRevokedError(reason), State.WAITING)
        if not part.listed:
            break
    return expired


def trim(ledger: Ledger, budget_s: float = BUDGET_S) -> None:
    """Drop ended jobs whose records have expired from the lists of ended jobs."""
    stop_at = monotonic() + budget_s
    while ledger.trim() and monotonic() < stop_at:
        pass
