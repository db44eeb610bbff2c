"""Ending many waiting jobs that share a fate, a few a call."""

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
"""At 30 to 40 microseconds each, a call takes a millisecond of Redis's time."""

_END_MANY = Script("end_many")


@dataclass(frozen=True)
class Ended:
    """Result of one call."""

    listed: int
    ended: int
    counted_by_chords: Sequence[str]
    """Jobs of groups, which a chord may count. They are not ended yet: that is for somebody who can
    fail a chord."""


def end_many(
    client: redis.Redis,
    source: str,
    state: State,
    now: float,
    lifetimes: Lifetimes,
) -> Ended:
    """End the next jobs of a list.

    Args:
        client: Redis.
        source: the list: deadlines, or a queue's order or scheduled jobs.
        state: expired (those whose deadlines have passed) or cancelled (all).
        now: Unix time in seconds, by Redis's clock.
        lifetimes: how long their records and results are kept.
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
