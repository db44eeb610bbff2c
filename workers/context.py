"""What a worker process holds: its settings, its blob store, its ledger. Built once, on first use.

Built lazily because a connection must never be carried from a parent process into its children.
"""

from dataclasses import dataclass
from functools import cache

import redis

from shared.blobs import Blobs
from shared.ledger import Ledger
from shared.redis_client import connect
from shared.settings import Settings
from shared.state_dir import locate


@dataclass(frozen=True)
class Context:
    """One process's tools."""

    settings: Settings
    client: redis.Redis
    blobs: Blobs
    ledger: Ledger


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return locate(Settings.load())


@cache
def context() -> Context:
    """The tools of this process."""
    client = connect(settings())
    return Context(
        settings=settings(),
        client=client,
        blobs=Blobs(settings(), client),
        ledger=Ledger(client, settings().result_ttl_s),
    )
