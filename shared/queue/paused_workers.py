"""Notes about paused workers and their reasons, for commands and metrics to show."""

from typing import cast

import redis

from agewell.shared.redis import keys

LASTS_S = 10
"""TTL of a note. A paused worker renews it earlier, and the note of a dead worker expires."""


def say_paused(client: redis.Redis, run: str, reason: str) -> None:
    """Note that a run of a worker takes no jobs. The note expires after `LASTS_S` seconds."""
    client.set(keys.worker_paused(run), reason, ex=LASTS_S)


def say_resumed(client: redis.Redis, run: str) -> None:
    """Note that a run of a worker takes jobs again."""
    client.delete(keys.worker_paused(run))


def paused_workers(client: redis.Redis) -> dict[str, str]:
    """Return the paused runs of workers, each with its reason."""
    runs = sorted(run.decode() for run in cast("set[bytes]", client.smembers(keys.WORKER_IDS)))
    reasons = client.mget([keys.worker_paused(run) for run in runs]) if runs else []
    found = zip(runs, cast("list[bytes | None]", reasons), strict=True)
    return {run: reason.decode() for run, reason in found if reason is not None}
