"""Counters in Redis: adding to them fails nothing."""

from collections.abc import Iterable

import redis

from shared import keys
from shared.scripts import counting_script


def add_counts(client: redis.Redis, key: str, counts: Iterable[tuple[str, int]]) -> None:
    """Add to counters in a hash; one that has no room left is dropped, and the drop is counted."""
    parts = [part for field in counts for part in field]
    client.eval(counting_script("add_counts"), 2, key, keys.COUNTS, *parts)
