"""Measures the load of each queue once per tick of the beat task, to predict waits.

Nothing is counted when a job starts or ends. The jobs that come are counted on their way in, the
jobs that run are looked at once a second, and how many have ended follows from both.
"""

import contextlib
import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast

import redis

from agewell.shared.protocol.tasks import WORK_QUEUES
from agewell.shared.queue.forecast.costs import image_count
from agewell.shared.queue.forecast.load import LATEST_TICKS, QueueLoad, by_level, level_of
from agewell.shared.queue.reserved import reserved_jobs
from agewell.shared.redis import keys

OVER_S = 60.0
"""Time constant of the sums in seconds."""

LEAST_ENDS, MOST_ENDS = 50.0, 200.0
"""Run times are forgotten no faster than over 50 jobs, so that long jobs are measured. They are
forgotten no slower than over 200, as the first jobs of workers that have just started are slow."""

LONGEST_TICK_S = 10.0
"""If upkeep was away for longer, nobody has seen what ran."""

BURST_S, BURST_JOBS = 15.0, 4.0
"""A tick counts no more jobs than usually come in 15 s, and 4. A folder that somebody sends at once
waits, and is no stream of jobs that overtake others for minutes."""

STEADY_AFTER_S = 5.0
"""Before rates have been measured for as long, each job counts."""

MOST_NAMES = 200
"""How many levels with their tenants, or operations, to keep."""

LEAST = 1e-3
"""Sums that have become smaller are forgotten."""

MOST_SAMPLED = 32
"""How many running jobs of a queue to look at."""

GONE = "gone"
"""The count of jobs that ended before they ran."""

Runs = Mapping[str, tuple[float, float, float]]
"""By level, a space and operation: running jobs, and the sums over them of 1 / images, and of how
long they have run, in seconds."""


def measure_load(client: redis.Redis, now: float) -> None:
    """Measure the load of each queue, in five round trips.

    A full Redis refuses it. Predictions then go by what was measured before, and nothing that the
    beat task has to do fails because of them.

    Args:
        client: Redis.
        now: Unix time in seconds, by Redis's clock.
    """
    with contextlib.suppress(redis.exceptions.OutOfMemoryError):
        _measure(client, now)


def _measure(client: redis.Redis, now: float) -> None:
    worker_ids = cast("set[bytes]", client.smembers(keys.WORKER_IDS))
    reserved = reserved_jobs(client, worker_ids)
    queues = [each.value for each in WORK_QUEUES]
    pipe = client.pipeline(transaction=True)
    for queue in queues:
        pipe.get(keys.load(queue))
        pipe.hgetall(keys.arrived(queue))
        pipe.delete(keys.arrived(queue))
        for places in (keys.order(queue), keys.held(queue), keys.scheduled(queue)):
            pipe.zcard(places)
    found = iter(pipe.execute())
    saving = client.pipeline(transaction=False)
    for queue in queues:
        before = QueueLoad.of_text(next(found))
        arrived = {name.decode(): int(count) for name, count in next(found).items()}
        next(found)
        waiting = sum(next(found) for _ in range(3))
        ids = reserved.get(queue, [])
        tick = Tick(now, arrived, waiting, len(ids), _runs(client, ids, now))
        saving.set(keys.load(queue), updated(before, tick).text())
    saving.execute()


class Tick(NamedTuple):
    """The jobs of a queue at one tick."""

    now: float
    arrived: Mapping[str, int]
    """Jobs that have come since the tick before, by the fields of `keys.arrived`."""
    waiting: int
    """Jobs that wait now, with scheduled ones."""
    running: int
    """Jobs that run now."""
    runs: Runs


def updated(before: QueueLoad, tick: Tick) -> QueueLoad:
    """Return the load after a tick."""
    load = replace(before, at=tick.now, waiting=tick.waiting, running=tick.running)
    if not before.at:
        return load
    passed_s = max(1e-3, tick.now - before.at)
    fade = math.exp(-passed_s / OVER_S)
    fresh = OVER_S * (1 - fade) / passed_s
    arrived = {name: count for name, count in tick.arrived.items() if name != GONE}
    came = {name: fresh * count for name, count in _of_streams(before, arrived, passed_s).items()}
    per_s = {level: count / passed_s for level, count in by_level(arrived).items()}
    load = replace(
        load,
        seconds=fade * before.seconds + fresh * passed_s,
        arrivals=_without_small_tenants(_faded_sum(before.arrivals, fade, came)),
        latest=[*before.latest, per_s][-LATEST_TICKS:],
    )
    ended = _ended(before, tick)
    if passed_s > LONGEST_TICK_S or not (tick.running or ended):
        return load
    ends = max(0, ended)
    fade = math.exp(-max(min(passed_s / OVER_S, ends / LEAST_ENDS), ends / MOST_ENDS))
    busy, per_image = (
        _faded_sum(
            {name: each[part] for name, each in before.runs.items()},
            fade,
            {name: passed_s * each[part] for name, each in tick.runs.items()},
        )
        for part in (0, 1)
    )
    kept = heapq.nlargest(MOST_NAMES, busy, lambda name: busy[name])
    return replace(
        load,
        ends=fade * before.ends + ended,
        ages_s=fade * before.ages_s + passed_s * sum(each for _, _, each in tick.runs.values()),
        runs={name: (busy[name], per_image[name]) for name in kept if busy[name] > LEAST},
    )


def _of_streams(
    before: QueueLoad, arrived: Mapping[str, float], passed_s: float
) -> Mapping[str, float]:
    """Return how many jobs of a tick count. More are a burst, which does not go on.

    Hundreds of tenants who each send a few jobs at once are a burst, too: so a level has a bound
    like each of its tenants.
    """
    if before.seconds < STEADY_AFTER_S:
        return arrived

    def most(count_before: float) -> float:
        rate = count_before / before.seconds
        return max(1.0, passed_s) * (BURST_S * rate + BURST_JOBS)

    found = {name: min(n, most(before.arrivals.get(name, 0.0))) for name, n in arrived.items()}
    levels, levels_before = by_level(found), by_level(before.arrivals)
    parts = {
        level: min(1.0, most(levels_before.get(level, 0.0)) / count)
        for level, count in levels.items()
        if count > 0
    }
    return {name: count * parts.get(level_of(name), 1.0) for name, count in found.items()}


def _ended(before: QueueLoad, tick: Tick) -> int:
    """Return how many jobs have ended after they ran."""
    came = sum(tick.arrived.values()) - 2 * tick.arrived.get(GONE, 0)
    return came - (tick.waiting - before.waiting) - (tick.running - before.running)


def _faded_sum(
    before: Mapping[str, float], fade: float, more: Mapping[str, float]
) -> dict[str, float]:
    return {
        name: fade * before.get(name, 0.0) + more.get(name, 0.0)
        for name in before.keys() | more.keys()
    }


def _without_small_tenants(counts: Mapping[str, float]) -> dict[str, float]:
    """Keep the largest counts, and add the others up by level, without the tenants' names."""
    largest = set(heapq.nlargest(MOST_NAMES, counts, lambda name: counts[name]))
    kept: dict[str, float] = {}
    for name, count in counts.items():
        level, space, _ = name.partition(" ")
        key = name if name in largest else level + space
        kept[key] = kept.get(key, 0.0) + count
    return {name: count for name, count in kept.items() if count > LEAST}


def _runs(client: redis.Redis, ids: Sequence[str], now: float) -> Runs:
    """Look at running jobs, or at an evenly spread sample of them."""
    looked = min(len(ids), MOST_SAMPLED)
    pipe: Any = client.pipeline(transaction=False)
    for number in range(looked):
        pipe.hmget(keys.job(ids[number * len(ids) // looked]), "level", "op", "items", "started_at")
    found: dict[str, tuple[float, float, float]] = {}
    for level, op, items, started_at in pipe.execute():
        name = f"{(level or b'0').decode()} {(op or b'').decode()}"
        jobs, per_image, ages_s = found.get(name, (0.0, 0.0, 0.0))
        scale, age_s = len(ids) / looked, max(0.0, now - float(started_at or now))
        found[name] = (
            jobs + scale,
            per_image + scale / image_count(items),
            ages_s + scale * age_s,
        )
    return found
