"""Counters in Redis hashes. Adding to them never fails because of a counter's value."""

from collections.abc import Iterable

import redis

from agewell.shared.redis import keys
from agewell.shared.redis.scripts import Script

_ADD_COUNTS = Script("add_counts")


def add_counts(client: redis.Redis, key: str, counts: Iterable[tuple[str, int]]) -> None:
    """Add to counters in a hash.

    An increment that does not fit into a counter is dropped, and the drop is counted.

    Args:
        client: Redis.
        key: the hash.
        counts: (field, increment) pairs.
    """
    parts = [part for field in counts for part in field]
    _ADD_COUNTS(client, [key, keys.COUNTS], parts)
