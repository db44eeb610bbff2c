"""Admission of due scheduled jobs and plain clients' messages to their queue's order."""

import time
from collections.abc import Mapping

import redis

from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from agewell.shared.redis.scripts import Script

JOBS_A_CALL = 16
"""Most due jobs, and most messages, of each queue per call. A call blocks Redis for about 1 ms."""

BYTES_A_CALL = 2**18
"""Most bytes of each queue's messages per call."""

_ADMIT = Script("admit_waiting")


def admit(
    client: redis.Redis, aging_k: Mapping[str, float], now: float, max_message_bytes: int
) -> bool:
    """Admit the next jobs of queues, in one call of bounded work.

    Args:
        client: Redis.
        aging_k: the queues, each with its k per second in case Redis has none.
        now: Unix time in seconds, by Redis's clock.
        max_message_bytes: larger messages are refused.

    Returns:
        True if more jobs are left to admit.
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
    return bool(answer)


def admit_for(
    seconds: float,
    client: redis.Redis,
    aging_k: Mapping[str, float],
    now: float,
    max_message_bytes: int,
) -> None:
    """Admit jobs by at least one call, until all are admitted or `seconds` have passed."""
    stops_at = time.monotonic() + seconds
    while admit(client, aging_k, now, max_message_bytes) and time.monotonic() < stops_at:
        pass
