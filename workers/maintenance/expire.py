"""Ends waiting jobs whose deadlines have passed, and forgets jobs whose records have expired."""

import logging
from time import monotonic
from typing import Any, cast

import redis
from celery import states
from celery.exceptions import TaskRevokedError

from agewell.shared.queue.documents import document_of
from agewell.shared.queue.end_many import end_many
from agewell.shared.queue.ending import EXPIRED
from agewell.shared.queue.ledger import End, Ledger, Lifetimes
from agewell.shared.queue.record import State
from agewell.shared.queue.request import request_of
from agewell.shared.redis import keys
from agewell.shared.redis.connection import REDIS_ERRORS, is_full

log = logging.getLogger(__name__)

BUDGET_S = 0.8
"""A tick stops after this time, in seconds. The next tick continues."""


def expire(
    backend: Any, client: redis.Redis, lifetimes: Lifetimes, now: float, budget_s: float = BUDGET_S
) -> int:
    """End the waiting jobs whose deadlines have passed.

    Args:
        backend: Celery's result backend. It also fails the chords that wait for such jobs.
        client: Redis.
        lifetimes: how long records and results of ended jobs are kept.
        now: Unix time in seconds, by Redis's clock.
        budget_s: how long this call may take, in seconds.

    Returns:
        How many jobs have ended.
    """
    stop_at, expired = monotonic() + budget_s, 0
    while monotonic() < stop_at:
        part = end_many(client, keys.DEADLINES, State.EXPIRED, now, lifetimes)
        ends = [_end_part(backend, client, job_id, now) for job_id in part.counted_by_chords]
        expired += part.ended + ends.count(True)
        if part.listed == ends.count(None):
            break  # none is left, or Redis is full and the chords cannot count their parts
    return expired


def _end_part(backend: Any, client: redis.Redis, job_id: str, now: float) -> bool | None:
    """End a waiting job that belongs to a chord: its deadline has passed, or it was purged.

    The chord counts it first. If upkeep is killed between the two steps, the next tick repeats
    both, and a chord counts each part once.

    Returns:
        True if it has ended, False if it no longer waits. None if Redis is full and it must be
        ended later.
    """
    fields = ("state", "started_at", "cancelled_at", "message")
    found = cast("list[bytes | None]", client.hmget(keys.job(job_id), fields))
    state, started_at, cancelled_at, message = found
    if state != State.WAITING.encode() or (started_at and not cancelled_at):
        client.zrem(keys.DEADLINES, job_id)
        return False
    error = TaskRevokedError(EXPIRED if cancelled_at is None else "cancelled")
    request = None if message is None else request_of(message)
    if request is not None and request.chord:
        try:
            backend.on_chord_part_return(request, states.REVOKED, error)
        except redis.ResponseError as refused:
            if is_full(refused):
                return None
            raise
        except REDIS_ERRORS:
            raise
        except Exception:
            log.exception("job %s: its end could not be counted by its chord", job_id)
    how = State.EXPIRED if cancelled_at is None else State.CANCELLED
    end = End(job_id=job_id, state=how, error=str(error), only_from=State.WAITING)
    ended: bool = backend.ledger.end(end, document_of(job_id, error, now))
    return ended


def trim(ledger: Ledger, budget_s: float = BUDGET_S) -> None:
    """Remove ended jobs whose records have expired from the lists of ended jobs."""
    stop_at = monotonic() + budget_s
    while ledger.trim() and monotonic() < stop_at:
        pass
