"""Notes of duties that take several ticks: how far each has come."""

import redis

from agewell.shared.redis.scripts import Script

_NOTE = Script("note")


def note(client: redis.Redis, key: str, **values: str | float) -> None:
    """Write values of a duty's notes; an empty one is removed. A full Redis takes them too."""
    _NOTE(client, [key], [part for pair in values.items() for part in pair])
