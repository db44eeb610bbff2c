"""The beat task: every second, waiting jobs are re-prioritised by w = e^(kt).

The order is kept by virtual time, which is constant while a job waits, so dispatch is exact between
ticks. A tick admits jobs that came by other ways, gives jobs whose places are stale new ones, and
notes how many have climbed.
"""

import time

import redis

from agewell.shared.metrics import Metric, tally
from agewell.shared.queue.admit import admit_for
from agewell.shared.queue.aging_k import set_k
from agewell.shared.redis import keys
from agewell.shared.redis.counters import add_counts
from agewell.shared.redis.scripts import Script
from agewell.shared.settings import Settings

ADMIT_S = 0.05
"""The longest that a tick admits jobs, in seconds."""

RESCORE_S = 0.1
"""The longest that a tick re-scores jobs of one queue: upkeep's other duties wait meanwhile."""

JOBS_A_STEP = 25
"""Jobs that one call re-scores: it takes well under a millisecond of Redis."""

JOBS_A_SAMPLE = 16
"""Jobs of each level whose given levels say how many of its latest have climbed to it."""

RATE_OVER_S = 60.0
"""The rate of climbs is a mean that forgets exponentially, over so many seconds."""

_RESCORE = Script("rescore")
_NOTE_TICK = Script("note_tick")


def reprioritise(client: redis.Redis, settings: Settings, now: float) -> None:
    """One tick of the beat task.

    Args:
        client: Redis.
        settings: k of each queue, if no operator has set another.
        now: Unix time in seconds, by Redis's clock.
    """
    aging_k = settings.k_by_queue()
    for queue, k_per_s in aging_k.items():
        set_k(client, queue, k_per_s, now, by_operator=False)
    admit_for(ADMIT_S, client, aging_k, now, settings.max_message_bytes)
    for queue, k_per_s in aging_k.items():
        with tally.timed(Metric.SWEEP, queue):
            calls, longest_s = _rescore_for(RESCORE_S, client, queue, k_per_s)
            note_tick(client, queue, k_per_s, now, calls, longest_s)
    with tally.sending() as counts:
        add_counts(client, keys.METRICS, counts)


def rescore(client: redis.Redis, queue: str, k_per_s: float) -> bool:
    """Give the next waiting jobs the places of the law in force; True if all have theirs."""
    keys_of_step = [keys.order(queue), keys.aging(queue), keys.AGING_K]
    return bool(_RESCORE(client, keys_of_step, [queue, k_per_s, keys.RECORD_PREFIX, JOBS_A_STEP]))


def _rescore_for(
    seconds: float, client: redis.Redis, queue: str, k_per_s: float
) -> tuple[int, float]:
    """Re-score for a while, at least in one call; how many it took, and seconds of the longest."""
    started = before = time.perf_counter()
    calls, longest_s, is_done = 0, 0.0, False
    while not is_done and (calls == 0 or before < started + seconds):
        is_done = rescore(client, queue, k_per_s)
        now = time.perf_counter()
        calls, longest_s, before = calls + 1, max(longest_s, now - before), now
    return calls, longest_s


def note_tick(
    client: redis.Redis, queue: str, k_per_s: float, now: float, calls: int, longest_s: float
) -> int:
    """Keep what an operator, or an alert, sees of aging; how many jobs have climbed.

    Args:
        client: Redis.
        queue: whose tick.
        k_per_s: k of the queue, if no other is in force.
        now: Unix time in seconds, by Redis's clock.
        calls: how many calls the tick took.
        longest_s: seconds of the longest.
    """
    answer = _NOTE_TICK(
        client,
        [keys.order(queue), keys.aging(queue), keys.AGING_K],
        [
            queue,
            k_per_s,
            keys.RECORD_PREFIX,
            now,
            JOBS_A_SAMPLE,
            RATE_OVER_S,
            calls,
            longest_s,
        ],
    )
    return int(answer)
