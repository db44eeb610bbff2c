"""What waits: per queue and level, from list lengths and heads alone."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import cast

import redis

from shared import keys
from shared.names import LEVELS, Queue


@dataclass(frozen=True)
class LevelStatus:
    """One level of one queue; the wait is that of the head, None where nobody noted a time."""

    queue: str
    level: int
    waiting: int
    oldest_wait_s: float | None


@dataclass(frozen=True)
class QueueStatus:
    """One queue: its levels, the most urgent first, and the jobs that workers hold."""

    queue: str
    levels: tuple[LevelStatus, ...]
    reserved: int


def queue_status(client: redis.Redis, now: float) -> list[QueueStatus]:
    """Read every queue; one round trip, at a cost that does not grow with the backlog.

    Args:
        client: the broker's Redis.
        now: by the clock that stamps messages; Unix time in seconds.
    """
    lists = [(queue.value, level) for queue in Queue for level in LEVELS]
    pipe = client.pipeline(transaction=False)
    for queue, level in lists:
        pipe.llen(keys.waiting_list(queue, level))
        pipe.lindex(keys.waiting_list(queue, level), -1)
    pipe.smembers(keys.WORKER_RUNS)
    *answers, runs = pipe.execute()
    reserved = _reserved(client, runs)
    levels = [
        LevelStatus(queue, level, waiting, _wait_s(head, now))
        for (queue, level), waiting, head in zip(lists, answers[::2], answers[1::2], strict=True)
    ]
    return [
        QueueStatus(
            queue.value,
            tuple(each for each in levels if each.queue == queue.value),
            reserved[queue.value],
        )
        for queue in Queue
    ]


def _reserved(client: redis.Redis, runs: set[bytes]) -> Counter[str]:
    """Jobs that workers hold, by queue: few, as a worker reserves only what it can start."""
    pipe = client.pipeline(transaction=False)
    for run in runs:
        pipe.hvals(keys.unacked(run.decode()))
    return Counter(json.loads(message)[2] for held in pipe.execute() for message in held)


def _wait_s(head: bytes | None, now: float) -> float | None:
    if head is None:
        return None
    enqueued_at = json.loads(head)["headers"].get("enqueued_at")
    return None if enqueued_at is None else max(0.0, now - cast("float", enqueued_at))
