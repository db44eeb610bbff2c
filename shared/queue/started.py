"""Counters of jobs that have started."""

from dataclasses import dataclass
from typing import cast

import redis

from agewell.shared.protocol.levels import LEVELS
from agewell.shared.redis import keys


@dataclass(frozen=True)
class Started:
    """Jobs that have started since Redis was empty, by the level they were enqueued with."""

    jobs: dict[int, int]
    """The number of jobs."""
    waited_s: dict[int, float]
    """The sum of their waits, in seconds."""


def started(client: redis.Redis) -> Started:
    """Read the counters of started jobs."""
    raw = cast("dict[bytes, bytes]", client.hgetall(keys.STARTED))
    found = {name.decode(): float(value) for name, value in raw.items()}
    return Started(
        jobs={level: int(found.get(f"jobs:{level}", 0)) for level in LEVELS},
        waited_s={level: found.get(f"waited_s:{level}", 0.0) for level in LEVELS},
    )
