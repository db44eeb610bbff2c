"""The progress of duties that take several ticks, stored in Redis."""

from collections.abc import Callable
from typing import cast

import redis

from agewell.shared.redis.scripts import Script

_NOTE = Script("note")


def save_progress(client: redis.Redis, key: str, **values: str | float) -> None:
    """Store values of a duty's progress.

    An empty value is removed. This works if Redis is full, too.
    """
    _NOTE(client, [key], [part for pair in values.items() for part in pair])


def walk_on(
    client: redis.Redis, key: str, field: str, step: Callable[[int], tuple[int, int]], most: int
) -> int:
    """Go on with a walk by a cursor, such as that of SCAN. After the end, it begins again.

    Args:
        client: Redis.
        key: of the progress.
        field: the part of the progress that keeps the cursor until the next tick.
        step: takes a cursor, and returns the next one, 0 at the end, and how many it found.
        most: the most steps of this tick.

    Returns:
        How many the steps found together.
    """
    saved = cast("bytes | None", client.hget(key, field))
    cursor, found = int(saved or 0), 0
    for _ in range(most):
        cursor, part = step(cursor)
        found += part
        if cursor == 0:
            break
    if saved or cursor:
        save_progress(client, key, **{field: str(cursor) if cursor else ""})
    return found
