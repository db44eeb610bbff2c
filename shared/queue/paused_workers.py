"""Workers that take no jobs at present, and why: what commands and metrics show of them."""

from typing import cast

import redis

from agewell.shared.redis import keys

LASTS_S = 10
"""A worker says again that it is paused well before this has passed; one that died is forgotten."""


def say_paused(client: redis.Redis, run: str, reason: str) -> None:
    """Note that a run of a worker takes no jobs, for the next few seconds."""
    client.set(keys.worker_paused(run), reason, ex=LASTS_S)


def say_resumed(client: redis.Redis, run: str) -> None:
    """Note that it takes jobs again."""
    client.delete(keys.worker_paused(run))


def paused_workers(client: redis.Redis) -> dict[str, str]:
    """The runs of workers that take no jobs, each with the reason."""
    runs = sorted(run.decode() for run in cast("set[bytes]", client.smembers(keys.WORKER_IDS)))
    reasons = client.mget([keys.worker_paused(run) for run in runs]) if runs else []
    found = zip(runs, cast("list[bytes | None]", reasons), strict=True)
    return {run: reason.decode() for run, reason in found if reason is not None}
