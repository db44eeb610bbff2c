"""Statuses that workers publish about themselves, and that expire after they have ended."""

from collections.abc import Callable
from typing import cast

import redis


def statuses_of_living(
    client: redis.Redis, members: str, key_of: Callable[[str], str]
) -> list[bytes]:
    """Return the status of each run of a worker that is alive, in the order of their names.

    Runs whose statuses have expired are removed from the set.

    Args:
        client: Redis.
        members: key of the set of runs.
        key_of: returns the key of a run's status.
    """
    runs = sorted(each.decode() for each in cast("set[bytes]", client.smembers(members)))
    keys = [key_of(run) for run in runs]
    found = cast("list[bytes | None]", client.mget(keys) if keys else [])
    gone = [run for run, status in zip(runs, found, strict=True) if status is None]
    if gone:
        client.srem(members, *gone)
    return [status for status in found if status is not None]
