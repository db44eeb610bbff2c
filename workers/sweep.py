"""The sweep: waiting jobs move to the levels that they have climbed to."""

import math
import time
from dataclasses import dataclass
from typing import Any, cast

import redis
from redis.commands.core import Script

from shared import keys
from shared.aging import AgingPolicy
from shared.counters import add_counts
from shared.metrics import Metric, tally
from shared.names import LEVELS, WORK_QUEUES
from shared.oversize import shrinking_script
from shared.scripts import script
from shared.settings import MAX_MESSAGE_BYTES, Settings
from shared.stamp import redis_now

CALL_S = 0.001
"""Redis's time for one call, during which it serves nobody else; what is begun is done."""

MOVES_A_CALL = 500
"""The most jobs that climb in one call, however quickly."""

SETTLING_CALLS = 2_000
"""The most calls of a sweep that put jobs into their places before those that have climbed move: a
hundred thousand newcomers and more. What is passed over has the place in which it came."""

RATE_OVER_S = 60.0
"""The rate of climbs is a mean that forgets exponentially, over so many seconds."""


_ORDER = shrinking_script("workers", "sweep_order")
"""What both commands begin with."""

_SETTLE = _ORDER + script("workers", "sweep_settle")
_CLIMB = _ORDER + script("workers", "sweep_climb")


@dataclass(frozen=True)
class Swept:
    """What one sweep of a queue did."""

    climbed: tuple[int, ...]
    """Jobs that left each level for a more urgent one; levels 0 to 9."""
    calls: int
    longest_call_s: float

    @property
    def moved(self) -> int:
        """Jobs that climbed, of all levels."""
        return sum(self.climbed)


def sweep_queues(client: redis.Redis, settings: Settings) -> None:
    """Sweep every work queue, and note what was done."""
    for queue in WORK_QUEUES:
        now = redis_now(client)
        policy = AgingPolicy.of(settings, queue.value)
        with tally.timed(Metric.SWEEP, queue.value):
            since = _last_run_at(client, queue.value)
            swept = sweep(client, queue.value, policy, now, since, settings.max_message_bytes)
        _note(client, queue.value, swept, now)


def _last_run_at(client: redis.Redis, queue: str) -> float:
    found = cast("bytes | None", client.hget(keys.aging(queue), "last_run_at"))
    return float(found) if found else 0.0


def _note(client: redis.Redis, queue: str, swept: Swept, now: float) -> None:
    """Keep the counts by which an operator, or an alert, sees that aging goes on."""
    key = keys.aging(queue)
    rates = [keys.climbs_field(level) for level in LEVELS]
    last_run_at, *old = client.hmget(key, "last_run_at", *rates)
    passed_s = max(1e-3, now - float(last_run_at or now - 1))
    fresh = -math.expm1(-passed_s / RATE_OVER_S)
    latest = {
        field: (1 - fresh) * float(rate or 0) + fresh * 60 * climbed / passed_s
        for field, rate, climbed in zip(rates, old, swept.climbed, strict=True)
    }
    latest |= {"last_run_at": now, "longest_call_s": swept.longest_call_s}
    client.hset(key, mapping={field: str(value) for field, value in latest.items()})
    add_counts(client, key, [("moved", swept.moved), ("calls", swept.calls)])
    with tally.sending() as counts:
        add_counts(client, keys.METRICS, counts)


def sweep(
    client: redis.Redis,
    queue: str,
    policy: AgingPolicy,
    now: float,
    since: float = 0.0,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
) -> Swept:
    """Move every job of a queue that has climbed, in calls of bounded work.

    Args:
        client: the broker's Redis.
        queue: the queue's name.
        policy: how fast its jobs gain weight.
        now: Unix time in seconds, of the clock that stamps the jobs.
        since: the time of the last sweep; jobs that came after it may be out of order.
        max_message_bytes: a small message takes the place of each that is larger.
    """
    climbed = [0 for _ in LEVELS]
    if policy.k_per_s == 0:
        return Swept(tuple(climbed), 0, 0.0)
    calls = _Calls(queue, policy, now, max_message_bytes)
    settle, climb = client.register_script(_SETTLE), client.register_script(_CLIMB)
    level, place, more = LEVELS[0], 0, 0
    for _ in range(SETTLING_CALLS):
        level, place, climbs = calls.make(settle, repr(since), level, place)
        more = more or climbs
        if level > LEVELS[-1]:
            break
    else:
        more = 1  # heads that were not reached may have climbed
    while more:
        more, *left = calls.make(climb, MOVES_A_CALL)
        climbed = [before + now_left for before, now_left in zip(climbed, [0, *left], strict=True)]
    return Swept(tuple(climbed), calls.count, calls.longest_s)


class _Calls:
    """The calls of one sweep of one queue."""

    def __init__(self, queue: str, policy: AgingPolicy, now: float, max_bytes: int) -> None:
        self._lists = [keys.waiting_list(queue, level) for level in LEVELS]
        # repr keeps every digit of a float; Unix times need sixteen.
        starts = (repr(policy.head_start_s(level)) for level in LEVELS)
        self._args = [repr(now), repr(CALL_S), *starts]
        self._max_bytes = max_bytes
        self.count = 0
        self.longest_s = 0.0

    def make(self, script: Script, *args: str | int) -> Any:
        """Run a script over the queue's lists; what it returns."""
        started = time.perf_counter()
        answer = script(keys=self._lists, args=[*self._args, *args, self._max_bytes])
        self.longest_s = max(self.longest_s, time.perf_counter() - started)
        self.count += 1
        return answer
