"""What waits: per queue and level, from list lengths, heads and counters alone."""

from collections import Counter
from dataclasses import dataclass
from typing import cast

import redis

from shared import envelope, keys
from shared.aging import AgingPolicy
from shared.entry import State
from shared.names import LEVELS, WORK_QUEUES, Queue
from shared.oversize import shrinking_script
from shared.settings import Settings


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
    climbs_per_minute: float
    """Of all its levels."""
    last_sweep_s_ago: float | None


def queue_status(client: redis.Redis, settings: Settings, now: float) -> list[QueueStatus]:
    """Read every queue; two round trips, at a cost that does not grow with the backlog.

    Args:
        client: the broker's Redis.
        settings: how the queues age.
        now: Unix time in seconds, by Redis's clock.
    """
    lists = [(queue.value, level) for queue in Queue for level in LEVELS]
    pipe = client.pipeline(transaction=False)
    names = [keys.waiting_list(queue, level) for queue, level in lists]
    heads = shrinking_script("shared", "heads")
    pipe.eval(heads, len(names), *names, str(settings.max_message_bytes))
    for each in Queue:
        pipe.hgetall(keys.aging(each.value))
    pipe.smembers(keys.WORKER_RUNS)
    answers, *found_sweeps, runs = pipe.execute()
    sweeps = dict(zip(Queue, found_sweeps, strict=True))
    reserved = _reserved(client, runs)
    found = []
    for number, (queue, sweep) in enumerate(sweeps.items()):
        policy = AgingPolicy.of(settings, queue.value)
        climbs = [float(sweep.get(keys.climbs_field(level).encode(), 0)) for level in LEVELS]
        of_queue = answers[2 * number * len(LEVELS) :]
        levels = tuple(
            LevelStatus(queue.value, level, waiting, *_head(head, policy, now), climbs[level])
            for level, waiting, head in zip(LEVELS, of_queue[::2], of_queue[1::2], strict=False)
        )
        last_sweep_s_ago = now - float(sweep[b"last_run_at"]) if sweep else None
        held = reserved[queue.value]
        found.append(QueueStatus(queue.value, levels, held, sum(climbs), last_sweep_s_ago))
    return found


def anything_is_open(client: redis.Redis) -> bool:
    """True if any job waits or runs, or any worker holds a message of a work queue."""
    pipe = client.pipeline(transaction=False)
    for state in (State.WAITING, State.RUNNING):
        pipe.zcard(keys.jobs(state))
    for queue in WORK_QUEUES:
        for level in LEVELS:
            pipe.llen(keys.waiting_list(queue.value, level))
    pipe.smembers(keys.WORKER_RUNS)
    *counts, runs = pipe.execute()
    return any(counts) or any(_reserved(client, runs)[queue.value] for queue in WORK_QUEUES)


def _head(head: bytes | None, policy: AgingPolicy, now: float) -> tuple[float | None, float | None]:
    """How long the job at a head has waited, in seconds, and the logarithm of its weight."""
    message = envelope.read(head)
    enqueued_at = envelope.enqueued_at(message)
    if message is None or enqueued_at is None:
        return None, None
    waited_s = max(0.0, now - enqueued_at)
    given = envelope.level_of(message["properties"].get("priority"))
    return waited_s, policy.log_weight(given, waited_s)


def _reserved(client: redis.Redis, runs: set[bytes]) -> Counter[str]:
    """Jobs that workers hold, by queue: few, as a worker reserves only what it can start."""
    pipe = client.pipeline(transaction=False)
    for run in runs:
        pipe.hvals(keys.unacked(run.decode()))
    return Counter(
        keys.queue_of(bytes(entry).partition(b"\n")[0].decode())
        for held in pipe.execute()
        for entry in held
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
