"""A Redis that has no memory left."""

from collections.abc import Iterator
from contextlib import contextmanager

import redis


@contextmanager
def full(client: redis.Redis) -> Iterator[None]:
    """Bound the server's memory so that it refuses each write."""
    client.config_set("maxmemory", 1)
    try:
        yield
    finally:
        client.config_set("maxmemory", 0)
