"""How many jobs the running workers of each queue run at the same time, from their heartbeats."""

from collections import Counter
from collections.abc import Iterable
from typing import cast

import redis

from agewell.shared.redis import keys


def heartbeat_text(slots: int, queues: Iterable[str]) -> str:
    """Return the text of a heartbeat: how many jobs a worker runs at a time, and its queues."""
    return " ".join([str(slots), *queues])


def slots_of(client: redis.Redis, worker_ids: Iterable[bytes]) -> Counter[str]:
    """Return how many jobs the workers of each queue run at a time, all together.

    Workers that are dead or paused do not count. A worker of several queues counts for each.

    Args:
        client: Redis.
        worker_ids: the members of `keys.WORKER_IDS`.
    """
    runs = [each.decode() for each in worker_ids]
    asked = [key(run) for run in runs for key in (keys.worker_alive, keys.worker_paused)]
    found = cast("list[bytes | None]", client.mget(asked)) if asked else []
    slots: Counter[str] = Counter()
    for beat, paused in zip(found[::2], found[1::2], strict=True):
        if beat is None or paused is not None:
            continue
        count, *queues = beat.decode().split()
        slots.update(dict.fromkeys(queues, int(count)))
    return slots
