"""A job's message among those that wait: found by the job's id, and taken out."""

import redis

from shared import keys
from shared.names import LEVELS
from shared.scripts import script

MESSAGES_A_CALL = 1000
CALLS_MAX = 200
"""Messages further back than these calls reach stay: a worker drops one whose job has ended."""


def take_out(client: redis.Redis, queue: str, job_id: str) -> bool:
    """Take a job's message out of its queue; False where it was not found.

    Looks at one stretch of a list a call, so Redis is never held up.
    """
    calls = 0
    for level in LEVELS:
        start = 0
        while calls < CALLS_MAX:
            calls += 1
            found, seen = client.eval(
                script("shared", "take_out"),
                1,
                keys.waiting_list(queue, level),
                start,
                start + MESSAGES_A_CALL - 1,
                job_id,
            )
            if found:
                return True
            if seen < MESSAGES_A_CALL:
                break
            start += seen
    return False
