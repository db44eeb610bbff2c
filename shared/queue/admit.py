"""Admission: scheduled jobs and plain clients' messages come into their queue's order."""

import redis

from shared import keys
from shared.queue.publish import OPS
from shared.queue.record import State
from shared.queue.scripts import Script

JOBS_A_CALL = 50
BYTES_A_CALL = 2**20

_ADMIT = Script("admit_waiting")


def admit(
    client: redis.Redis, queue: str, now: float, k_per_s: float, max_message_bytes: int
) -> bool:
    """Admit the next jobs of a queue, in one call of bounded work; True if more are left.

    Args:
        client: Redis.
        queue: one of those with an order.
        now: Unix time in seconds, by Redis's clock.
        k_per_s: k of the queue, if no other is in force.
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
            *keys.of_queue(queue),
        ],
        [
            now,
            max_message_bytes,
            keys.RECORD_PREFIX,
            OPS,
            queue,
            k_per_s,
            JOBS_A_CALL,
            BYTES_A_CALL,
        ],
    )
    return bool(answer)
