"""Waiting jobs per queue and level, from counts and each level's first job alone."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import redis

from agewell.shared.protocol.aging import AgingPolicy
from agewell.shared.protocol.levels import LEVELS
from agewell.shared.protocol.tasks import WORK_QUEUES, Queue
from agewell.shared.queue.order import id_of
from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from agewell.shared.settings import Settings


@dataclass(frozen=True)
class LevelStatus:
    """One level of one queue; its head's figures are None where nothing waits."""

    queue: str
    level: int
    waiting: int
    oldest_wait_s: float | None
    """Of the head, which has been due the longest; None also where nobody noted a time."""
    head_log_weight: float | None
    """k t - level, t and level those that the head was enqueued with."""
    climbs_per_minute: float
    """Jobs that leave the level for a more urgent one."""


@dataclass(frozen=True)
class QueueStatus:
    """One queue: its levels, the most urgent first, what workers hold, and how it ages."""

    queue: str
    levels: tuple[LevelStatus, ...]
    reserved: int
    scheduled: int
    """Jobs that were sent for later, or are tried again later."""
    k_per_s: float
    climbs_per_minute: float
    """Of all its levels."""
    last_sweep_s_ago: float | None


def queue_status(client: redis.Redis, settings: Settings, now: float) -> list[QueueStatus]:
    """Read every queue; three round trips, whose work does not grow with the backlog.

    Args:
        client: Redis.
        settings: how the queues age, if no other k is in force.
        now: Unix time in seconds, by Redis's clock.
    """
    policies = aging_policies(client, settings)
    pipe = client.pipeline(transaction=False)
    for queue, policy in policies.items():
        _ask(pipe, queue, policy, now)
    pipe.smembers(keys.WORKER_IDS)
    *answers, worker_ids = pipe.execute()
    parts = [answers[first : first + _ANSWERS] for first in range(0, len(answers), _ANSWERS)]
    heads = [place for part in parts for place in part[len(LEVELS) : 2 * len(LEVELS)]]
    read_heads = iter(_read_heads(client, [id_of(place[0]) if place else "" for place in heads]))
    reserved = _reserved(client, worker_ids)
    return [
        _status(queue, policy, now, part, [next(read_heads) for _ in LEVELS], reserved[queue])
        for (queue, policy), part in zip(policies.items(), parts, strict=True)
    ]


def aging_policies(client: redis.Redis, settings: Settings) -> dict[str, AgingPolicy]:
    """How each queue ages at present: as Redis says, else as the settings say."""
    found = cast("list[bytes | None]", client.hmget(keys.AGING_K, [each.value for each in Queue]))
    return {
        queue.value: AgingPolicy(settings.k_of(queue.value)) if k is None else AgingPolicy(float(k))
        for queue, k in zip(Queue, found, strict=True)
    }


_ANSWERS = 3 * len(LEVELS) + 2


def _ask(pipe: Any, queue: str, policy: AgingPolicy, now: float) -> None:
    """Ask for each level's count, head and inlet; then for scheduled jobs and the beat's notes."""
    ranges = [_scores(policy, level, now) for level in LEVELS]
    for lowest, highest in ranges:
        pipe.zcount(keys.order(queue), lowest, highest)
    for lowest, highest in ranges:
        pipe.zrange(keys.order(queue), lowest, highest, byscore=True, offset=0, num=1)
    for inlet in keys.inlets(queue):
        pipe.llen(inlet)
    pipe.zcard(keys.scheduled(queue))
    pipe.hgetall(keys.aging(queue))


def _scores(policy: AgingPolicy, level: int, now: float) -> tuple[str, str]:
    """The virtual times of the jobs that have climbed to a level, or have come to it."""
    lowest = "-inf"
    if level > LEVELS[0]:
        lowest = f"({now + policy.head_start_s(level - 1)!r}"
    highest = "+inf" if level == LEVELS[-1] else repr(now + policy.head_start_s(level))
    return lowest, highest


def _read_heads(
    client: redis.Redis, job_ids: Sequence[str]
) -> list[tuple[float | None, int | None]]:
    """Since when the first job of each level waits, and the level that it was given."""
    pipe = client.pipeline(transaction=False)
    for job_id in job_ids:
        pipe.hmget(keys.job(job_id), "since", "level")
    return [
        (None if since is None else float(since), None if level is None else int(level))
        for since, level in pipe.execute()
    ]


def _status(
    queue: str,
    policy: AgingPolicy,
    now: float,
    answers: Sequence[Any],
    heads: Sequence[tuple[float | None, int | None]],
    reserved: int,
) -> QueueStatus:
    count = len(LEVELS)
    counts, inlets = answers[:count], answers[2 * count : 3 * count]
    scheduled, notes = answers[3 * count :]
    climbs = [float(notes.get(keys.climbs_field(level).encode(), 0)) for level in LEVELS]
    levels = tuple(
        LevelStatus(
            queue, level, counts[level] + inlets[level], *_head(*head, policy, now), climbs[level]
        )
        for level, head in zip(LEVELS, heads, strict=True)
    )
    last_run_at = notes.get(b"last_run_at")
    last_sweep_s_ago = None if last_run_at is None else now - float(last_run_at)
    return QueueStatus(
        queue, levels, reserved, scheduled, policy.k_per_s, sum(climbs), last_sweep_s_ago
    )


def _head(
    since: float | None, given: int | None, policy: AgingPolicy, now: float
) -> tuple[float | None, float | None]:
    """How long the job at a head has waited, in seconds, and the logarithm of its weight."""
    if since is None or given is None:
        return None, None
    waited_s = max(0.0, now - since)
    return waited_s, policy.log_weight(given, waited_s)


def anything_is_open(client: redis.Redis) -> bool:
    """True if any job waits or runs, or any worker has reserved a job of a work queue."""
    pipe = client.pipeline(transaction=False)
    for state in (State.WAITING, State.RUNNING):
        pipe.zcard(keys.jobs(state))
    for queue in WORK_QUEUES:
        for inlet in keys.inlets(queue.value):
            pipe.llen(inlet)
    pipe.smembers(keys.WORKER_IDS)
    *counts, worker_ids = pipe.execute()
    return any(counts) or any(_reserved(client, worker_ids)[queue.value] for queue in WORK_QUEUES)


def _reserved(client: redis.Redis, worker_ids: set[bytes]) -> Counter[str]:
    """Jobs that workers have reserved, by queue: few, as workers reserve only what they start."""
    pipe = client.pipeline(transaction=False)
    for worker_id in worker_ids:
        pipe.hvals(keys.reserved(worker_id.decode()))
    return Counter(
        entry.split(b"\n", 2)[1].decode()
        for held in pipe.execute()
        for entry in held
        if entry.startswith(b"\n")
    )


@dataclass(frozen=True)
class Started:
    """Since the queues' beginning, by the level given: jobs started, and their waits' sum."""

    jobs: dict[int, int]
    waited_s: dict[int, float]


def started(client: redis.Redis) -> Started:
    """Read the counters of started jobs."""
    raw = cast("dict[bytes, bytes]", client.hgetall(keys.STARTED))
    found = {name.decode(): float(value) for name, value in raw.items()}
    return Started(
        jobs={level: int(found.get(f"jobs:{level}", 0)) for level in LEVELS},
        waited_s={level: found.get(f"waited_s:{level}", 0.0) for level in LEVELS},
    )
