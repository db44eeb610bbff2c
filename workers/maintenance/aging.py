"""The beat task: every second it re-prioritises waiting jobs by their weight w = e^(kt).

The queues are ordered by virtual time, which is constant while a job waits, so the order is exact
between ticks too. A tick admits jobs from plain Celery clients and jobs that have become due. It
also re-scores jobs after a change of k, and records how many jobs have climbed.
"""

import time

import redis

from agewell.shared.metrics import Metric, tally
from agewell.shared.queue.admit import admit_for
from agewell.shared.queue.aging_k import set_k
from agewell.shared.redis import keys
from agewell.shared.redis.counters import add_counts
from agewell.shared.redis.scripts import Argument, Script
from agewell.shared.settings import Settings
from agewell.workers.maintenance.load import measure_load

ADMIT_S = 0.05
"""How long a tick may admit jobs, in seconds."""

RESCORE_S = 0.1
"""How long a tick may re-score jobs of one queue, in seconds. Upkeep's other duties wait
meanwhile."""

JOBS_A_STEP = 25
"""Jobs that one call re-scores. It takes well under a millisecond of Redis."""

JOBS_A_SAMPLE = 16
"""Jobs sampled in each level, to estimate how many of those new in it since the last tick have
climbed to it."""

RATE_OVER_S = 60.0
"""Time constant in seconds of the exponential moving average of climbs."""

_RESCORE = Script("rescore")
_NOTE_TICK = Script("note_tick")


def reprioritise(client: redis.Redis, settings: Settings, now: float) -> None:
    """Run one tick of the beat task.

    Args:
        client: Redis.
        settings: k of each queue, unless an operator has set another in Redis.
        now: Unix time in seconds, by Redis's clock.
    """
    aging_k = settings.k_by_queue()
    for queue, k_per_s in aging_k.items():
        set_k(client, queue, k_per_s, now, by_operator=False)
    admit_for(ADMIT_S, client, aging_k, now, settings.max_message_bytes)
    for queue, k_per_s in aging_k.items():
        with tally.timed(Metric.SWEEP, queue):
            calls, longest_s = _rescore_for(RESCORE_S, client, queue, k_per_s, now)
            note_tick(client, queue, k_per_s, now, calls, longest_s)
    measure_load(client, now)
    with tally.sending() as counts:
        add_counts(client, keys.METRICS, counts)


def rescore(client: redis.Redis, queue: str, k_per_s: float, now: float) -> bool:
    """Re-score the next waiting jobs of a queue by the k in force. True if none is left."""
    keys_of_step = [keys.order(queue), keys.aging(queue), keys.AGING_K]
    arguments: list[Argument] = [queue, k_per_s, keys.RECORD_PREFIX, JOBS_A_STEP, now]
    return bool(_RESCORE(client, keys_of_step, arguments))


def _rescore_for(
    seconds: float, client: redis.Redis, queue: str, k_per_s: float, now: float
) -> tuple[int, float]:
    """Re-score jobs for some seconds, at least one call.

    Returns:
        The number of calls, and the duration of the longest in seconds.
    """
    started = before = time.perf_counter()
    calls, longest_s, is_done = 0, 0.0, False
    while not is_done and (calls == 0 or before < started + seconds):
        is_done = rescore(client, queue, k_per_s, now)
        ended = time.perf_counter()
        calls, longest_s, before = calls + 1, max(longest_s, ended - before), ended
    return calls, longest_s


def note_tick(
    client: redis.Redis, queue: str, k_per_s: float, now: float, calls: int, longest_s: float
) -> int:
    """Record the statistics of a tick, for operators and alerts.

    Args:
        client: Redis.
        queue: the queue.
        k_per_s: k of the queue in 1/s, unless an operator has set another in Redis.
        now: Unix time in seconds, by Redis's clock.
        calls: number of re-scoring calls of the tick.
        longest_s: duration of the longest call in seconds.

    Returns:
        The number of jobs that have climbed.
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
