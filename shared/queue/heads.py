"""Count the waiting jobs of each level, and find the first of each."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import redis

from agewell.shared.protocol.aging import AgingPolicy
from agewell.shared.protocol.levels import LEVELS
from agewell.shared.queue.order import id_of
from agewell.shared.redis import keys


class Head(NamedTuple):
    """The job that goes first in a level."""

    since: float | None = None
    """When the job began to wait, as Unix time in seconds. None if no job waits, or if unknown."""
    given_level: int | None = None
    """The level that the job was enqueued with."""


class Answers(NamedTuple):
    """Redis's answers about one queue, in the order in which `ask` asks."""

    waiting: list[int]
    """Jobs in the order, and waiting jobs of tenants, by level."""
    head_ids: list[str]
    """The id of each level's head, or '' if no job waits."""
    pushed: list[int]
    """Messages that plain clients have pushed, by level."""
    scheduled: int
    notes: dict[bytes, bytes]
    """The beat task's notes."""


def ask(pipe: Any, queue: str, policy: AgingPolicy, now: float) -> None:
    """Put the commands about one queue into a pipeline. `next_answers` reads their answers."""
    ranges = [_scores(policy, level, now) for level in LEVELS]
    for places in (keys.order(queue), keys.held(queue)):
        for lowest, highest in ranges:
            pipe.zcount(places, lowest, highest)
        for lowest, highest in ranges:
            pipe.zrange(places, lowest, highest, byscore=True, offset=0, num=1, withscores=True)
    for inlet in keys.inlets(queue):
        pipe.llen(inlet)
    pipe.zcard(keys.scheduled(queue))
    pipe.hgetall(keys.aging(queue))


def next_answers(found: Iterator[Any]) -> Answers:
    """Take the answers about one queue from those of the pipeline."""
    counts, heads = [], []
    for _ in ("the order", "the jobs of tenants"):
        counts.append([next(found) for _ in LEVELS])
        heads.append([next(found) for _ in LEVELS])
    return Answers(
        waiting=[sum(each) for each in zip(*counts, strict=True)],
        head_ids=[_first_id([*places, *held]) for places, held in zip(*heads, strict=True)],
        pushed=[next(found) for _ in LEVELS],
        scheduled=next(found),
        notes=next(found),
    )


def read_heads(client: redis.Redis, job_ids: Iterable[str]) -> dict[str, Head]:
    """Read the records of heads. An id of '' gets a head without values."""
    ids = [job_id for job_id in job_ids if job_id]
    pipe = client.pipeline(transaction=False)
    for job_id in ids:
        pipe.hmget(keys.job(job_id), "since", "level")
    heads = {
        job_id: Head(None if since is None else float(since), None if level is None else int(level))
        for job_id, (since, level) in zip(ids, pipe.execute(), strict=True)
    }
    return heads | {"": Head()}


def _first_id(places: list[tuple[bytes, float]]) -> str:
    """Return the id of the job that goes first of some places, or '' if there is none."""
    return id_of(min(places, key=lambda each: (each[1], each[0]))[0]) if places else ""


def _scores(policy: AgingPolicy, level: int, now: float) -> tuple[str, str]:
    """Return the range of virtual times of the jobs that are on a level now."""
    lowest = "-inf"
    if level > LEVELS[0]:
        lowest = f"({now + policy.head_start_s(level - 1)!r}"
    highest = "+inf" if level == LEVELS[-1] else repr(now + policy.head_start_s(level))
    return lowest, highest
