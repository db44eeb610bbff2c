"""Ending many waiting jobs, because they have expired or their queue is purged."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis
from celery.exceptions import TaskRevokedError

from agewell.shared.metrics import Metric, counter
from agewell.shared.queue.documents import ID_MARK, document_of
from agewell.shared.queue.ledger import Lifetimes
from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from agewell.shared.redis.scripts import Script

JOBS_A_CALL = 25
"""Most jobs per call. A job takes 30 to 40 microseconds, so a call blocks Redis for 1 ms."""

_END_MANY = Script("end_many")


@dataclass(frozen=True)
class Ended:
    """Result of one call."""

    listed: int
    """The number of jobs that were looked at. 0 if no more are left."""
    ended: int
    """The number of jobs that were ended."""
    counted_by_chords: Sequence[str]
    """Ids of jobs in groups. They are not ended yet, because their chords have to fail too."""


def end_many(
    client: redis.Redis,
    source: str,
    state: State,
    now: float,
    lifetimes: Lifetimes,
) -> Ended:
    """End up to `JOBS_A_CALL` waiting jobs.

    Args:
        client: Redis.
        source: the sorted set that lists them: deadlines, or a queue's order or scheduled jobs.
        state: expired ends jobs whose deadlines have passed, cancelled ends all.
        now: Unix time in seconds, by Redis's clock.
        lifetimes: how long to keep their records and results.
    """
    expires = state is State.EXPIRED
    reason = "expired" if expires else "cancelled"
    answer: Any = _END_MANY(
        client,
        [
            source,
            keys.jobs(State.WAITING),
            keys.jobs(State.RUNNING),
            keys.jobs(state),
            keys.DEADLINES,
            keys.COUNTS,
            keys.METRICS,
            *keys.orders(),
        ],
        [
            now,
            JOBS_A_CALL,
            now if expires else "+inf",
            state.value,
            reason,
            lifetimes.of(state),
            document_of(ID_MARK, TaskRevokedError(reason), now),
            keys.RECORD_PREFIX,
            keys.RESULT_PREFIX,
            keys.RESERVED_PREFIX,
            counter(Metric.ENDED, state.value),
            int(source != keys.DEADLINES),
        ],
    )
    listed, ended, others = answer
    return Ended(listed, ended, [job_id.decode() for job_id in others])
