"""The sweep: waiting jobs move to the levels that they have climbed to."""

import math
import time
from dataclasses import dataclass
from importlib.resources import files
from typing import cast

import redis

from shared import keys
from shared.aging import AgingPolicy
from shared.names import LEVELS, WORK_QUEUES
from shared.settings import Settings
from shared.stamp import redis_now

MOVES_A_CALL = 100
"""Bounds one call to a millisecond or two of Redis, during which it serves nobody else."""

RATE_OVER_S = 60.0
"""The rate of climbs is a mean that forgets exponentially, over so many seconds."""

LOOKS_A_SWEEP = 320
"""Jobs that came since the last one, of which retries and next steps are put into their places."""

_LUA = (files("workers") / "sweep.lua").read_text()


@dataclass(frozen=True)
class Swept:
    """What one sweep of a queue did."""

    moved: int
    calls: int
    longest_call_s: float


def sweep_queues(client: redis.Redis, settings: Settings) -> None:
    """Sweep every work queue, and note what was done."""
    for queue in WORK_QUEUES:
        now = redis_now(client)
        policy = AgingPolicy.of(settings, queue.value)
        swept = sweep(client, queue.value, policy, now, _last_run_at(client, queue.value))
        _note(client, queue.value, swept, now)


def _last_run_at(client: redis.Redis, queue: str) -> float:
    found = cast("bytes | None", client.hget(keys.aging(queue), "last_run_at"))
    return float(found) if found else 0.0


def _note(client: redis.Redis, queue: str, swept: Swept, now: float) -> None:
    """Keep the counts by which an operator, or an alert, sees that aging goes on."""
    key = keys.aging(queue)
    last_run_at, old_rate = client.hmget(key, "last_run_at", "climbs_per_minute")
    passed_s = max(1e-3, now - float(last_run_at or now - 1))
    fresh = -math.expm1(-passed_s / RATE_OVER_S)
    rate = (1 - fresh) * float(old_rate or 0) + fresh * 60 * swept.moved / passed_s
    pipe = client.pipeline()
    pipe.hincrby(key, "moved", swept.moved)
    pipe.hincrby(key, "calls", swept.calls)
    latest = {"last_run_at": now, "climbs_per_minute": rate, "longest_call_s": swept.longest_call_s}
    pipe.hset(key, mapping={field: str(value) for field, value in latest.items()})
    pipe.execute()


def sweep(
    client: redis.Redis, queue: str, policy: AgingPolicy, now: float, since: float = 0.0
) -> Swept:
    """Move every job of a queue that has climbed, in calls of bounded work.

    Args:
        client: the broker's Redis.
        queue: the queue's name.
        policy: how fast its jobs gain weight.
        now: Unix time in seconds, of the clock that stamps the jobs.
        since: the time of the last sweep; jobs that came after it may be out of order.
    """
    if policy.k_per_s == 0:
        return Swept(0, 0, 0.0)
    script = client.register_script(_LUA)
    lists = [keys.waiting_list(queue, level) for level in LEVELS]
    starts = [repr(policy.head_start_s(level)) for level in LEVELS]
    moved = calls = 0
    longest_s = 0.0
    more = 1
    while more:
        started = time.perf_counter()
        # repr keeps every digit of a float; Unix times need sixteen.
        looks = 0 if calls else LOOKS_A_SWEEP
        args: list[str | int] = [repr(now), MOVES_A_CALL, repr(since), looks, *starts]
        moved_now, more = cast("tuple[int, int]", script(keys=lists, args=args))
        longest_s = max(longest_s, time.perf_counter() - started)
        moved, calls = moved + moved_now, calls + 1
    return Swept(moved, calls, longest_s)
