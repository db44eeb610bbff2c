"""Counters in Redis: adding to them fails nothing."""

from collections.abc import Iterable

import redis

from agewell.shared.redis import keys
from agewell.shared.redis.scripts import Script

_ADD_COUNTS = Script("add_counts")


def add_counts(client: redis.Redis, key: str, counts: Iterable[tuple[str, int]]) -> None:
    """Add to counters in a hash; one that has no room left is dropped, and the drop is counted."""
    parts = [part for field in counts for part in field]
    _ADD_COUNTS(client, [key, keys.COUNTS], parts)
