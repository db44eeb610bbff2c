"""Retries: a job that meets a passing error is sent again, to run later.

The back-off doubles with each retry, up to a minute, and has jitter: jobs that failed together do
not all return at once. After `RETRIES_MAX` retries the job is given up.

A full Redis or an unreachable blob store stops every job, so no job is given up for that. Such
retries are counted apart, in a header of the message.
"""

import time
from random import uniform
from typing import Any, NoReturn

import redis
from celery import Task
from celery.exceptions import Reject

from agewell.shared.errors import (
    BlobStoreError,
    BlobStoreFullError,
    BrokerFullError,
    MessageTooLargeError,
    PassingError,
)
from agewell.shared.protocol.envelope import FULL_RETRIES, count_of
from agewell.workers.jobs.dead_letter import give_up
from agewell.workers.process.context import context

FULL = (BrokerFullError, redis.exceptions.OutOfMemoryError, BlobStoreFullError)
"""Errors of a Redis or a blob store that has no room left."""

PASSING = (PassingError, redis.ConnectionError, redis.TimeoutError, *FULL)
"""Errors for which a job is retried."""

RETRIES_MAX = 5
BACKOFF_MAX_S = 60.0

DOUBLINGS_MAX = 10
"""Bounds the exponent, so that a large number of retries does not overflow a float."""


def retry_later(task: Task, error: Exception) -> NoReturn:
    """Send a job again, to run after the back-off.

    Args:
        task: the bound Celery task.
        error: the passing error that ended this run.

    Raises:
        Retry: the job was sent again.
        Reject: Redis is down, so the job could not be sent. Its message is requeued.
        DeadJobError: the job was retried `RETRIES_MAX` times and is given up.
        MessageTooLargeError: the new message exceeds AGEWELL_MAX_MESSAGE_BYTES.
    """
    request, full = task.request, isinstance(error, FULL) or _store_is_down(error)
    full_retries = _full_retries(request)
    retries = full_retries if full else request.retries - full_retries
    if retries >= RETRIES_MAX and not full:
        give_up(task, f"still failing after {retries} retries: {error}")
    countdown_s = backoff_s(retries)
    headers = (request.headers or {}) | {FULL_RETRIES: full_retries + full}
    try:
        raise task.retry(
            exc=error, countdown=countdown_s, max_retries=request.retries + 1, headers=headers
        )
    except Reject as unsent:
        if isinstance(unsent.reason, MessageTooLargeError):
            raise unsent.reason from error
        # Redis is still down. Celery would end the job; requeue its message instead. Wait first:
        # each delivery that does not end counts as lost, and max_deliveries of them end the job.
        time.sleep(countdown_s)
        raise Reject(unsent.reason, requeue=True) from error


def backoff_s(retries: int) -> float:
    """Return a random back-off in seconds: between half of 2^retries and all of it, 60 at most."""
    longest_s = min(2.0 ** min(retries, DOUBLINGS_MAX), BACKOFF_MAX_S)
    return uniform(0.5, 1) * longest_s  # noqa: S311


def _store_is_down(error: Exception) -> bool:
    """True if the blob store is unreachable. False if it fails for this job's blobs only."""
    if not isinstance(error, BlobStoreError):
        return False
    try:
        context().blobs.check()
    except PassingError:
        return True
    return False


def _full_retries(request: Any) -> int:
    """Return how many retries do not count, because Redis or the blob store was at fault."""
    return min(count_of((request.headers or {}).get(FULL_RETRIES)), count_of(request.retries))
