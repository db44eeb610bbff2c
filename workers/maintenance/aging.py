"""The beat task: every second, waiting jobs are re-prioritised by w = e^(kt).

The order is kept by virtual time, which is constant while a job waits, so dispatch is exact between
ticks. A tick admits jobs that came by other ways, gives jobs whose places are stale new ones, and
notes how many have climbed.
"""

import redis

from shared import keys
from shared.aging import k_by_queue
from shared.queue.admit import admit
from shared.queue.scripts import Script
from shared.settings import Settings

CALLS_A_TICK = 50
JOBS_A_STEP = 200

_RESCORE = Script("rescore")
_SET_K = Script("set_k")


def reprioritise(client: redis.Redis, settings: Settings, now: float) -> None:
    """One tick of the beat task."""
    for queue, k_per_s in k_by_queue(settings).items():
        _SET_K(client, [keys.AGING_K, keys.aging(queue)], [queue, k_per_s, 0])
        for _ in range(CALLS_A_TICK):
            if not admit(client, queue, now, k_per_s, settings.max_message_bytes):
                break
        for _ in range(CALLS_A_TICK):
            if rescore(client, queue, k_per_s):
                break


def rescore(client: redis.Redis, queue: str, k_per_s: float) -> bool:
    """Give the next waiting jobs the places of the law in force; True if none is left."""
    keys_of_step = [keys.order(queue), keys.aging(queue), keys.AGING_K]
    _, _, is_last = _RESCORE(
        client, keys_of_step, [queue, k_per_s, keys.RECORD_PREFIX, JOBS_A_STEP]
    )
    return bool(is_last)
