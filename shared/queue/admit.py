"""Admission of due scheduled jobs and plain clients' messages to their queue's order."""

import time
from collections.abc import Mapping
from typing import NamedTuple

import redis

from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from agewell.shared.redis.scripts import Script

JOBS_A_CALL = 16
"""Most due jobs, and most messages, of each queue per call. A call blocks Redis for about 1 ms."""

BYTES_A_CALL = 2**18
"""Most bytes of each queue's messages per call."""

_ADMIT = Script("admit_waiting")


class Admission(NamedTuple):
    """Jobs and tenants to look at after one call."""

    is_more: bool
    """True if more jobs are left to admit."""
    look_at: float | None
    """When a paused tenant may have another job, in Unix seconds. None if none is paused."""


def admit(
    client: redis.Redis, aging_k: Mapping[str, float], now: float, max_message_bytes: int
) -> bool:
    """Admit the next jobs of queues. Returns True if more are left.

    The arguments are those of `admit_step`.
    """
    return admit_step(client, aging_k, now, max_message_bytes).is_more


def admit_step(
    client: redis.Redis, aging_k: Mapping[str, float], now: float, max_message_bytes: int
) -> Admission:
    """Admit the next jobs of queues, in one call of bounded work.

    Args:
        client: Redis.
        aging_k: the queues, each with its k per second in case Redis has none.
        now: Unix time in seconds, by Redis's clock.
        max_message_bytes: larger messages are refused.
    """
    answer = _ADMIT(
        client,
        [
            keys.jobs(State.WAITING),
            keys.jobs(State.RUNNING),
            keys.DEADLINES,
            keys.SEQUENCE,
            keys.AGING_K,
            keys.REFUSED,
            *(key for queue in aging_k for key in keys.of_queue(queue)),
        ],
        [
            now,
            max_message_bytes,
            keys.RECORD_PREFIX,
            JOBS_A_CALL,
            BYTES_A_CALL,
            *(part for pair in aging_k.items() for part in pair),
        ],
    )
    is_more, look_at = answer
    return Admission(bool(is_more), float(look_at) if look_at else None)


def admit_for(
    seconds: float,
    client: redis.Redis,
    aging_k: Mapping[str, float],
    now: float,
    max_message_bytes: int,
) -> float | None:
    """Admit jobs by at least one call, until all are admitted or `seconds` have passed.

    Returns:
        When to look at a paused tenant, as Unix time in seconds. None if none is paused.
    """
    stops_at = time.monotonic() + seconds
    while True:
        left = admit_step(client, aging_k, now, max_message_bytes)
        if not left.is_more or time.monotonic() >= stops_at:
            return left.look_at
