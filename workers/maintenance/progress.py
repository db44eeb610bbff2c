"""The progress of duties that take several ticks, stored in Redis."""

import redis

from agewell.shared.redis.scripts import Script

_NOTE = Script("note")


def save_progress(client: redis.Redis, key: str, **values: str | float) -> None:
    """Store values of a duty's progress.

    An empty value is removed. This works if Redis is full, too.
    """
    _NOTE(client, [key], [part for pair in values.items() for part in pair])
