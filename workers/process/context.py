"""The settings, Redis client, blob store and ledger of this process.

They are created on first use, because a child process must never inherit an open connection.
"""

import sys
from dataclasses import dataclass
from functools import cache
from typing import NoReturn

import redis

from agewell.shared.blobs.blobs import Blobs
from agewell.shared.errors import AgewellError, BrokerUnreachableError, SettingsError
from agewell.shared.queue.ledger import Ledger, Lifetimes
from agewell.shared.redis.connection import connect
from agewell.shared.settings import Settings
from agewell.shared.state_dir import locate

_STATUSES = {SettingsError: 2, BrokerUnreachableError: 3}


@dataclass(frozen=True)
class Context:
    """The tools of one process."""

    settings: Settings
    client: redis.Redis
    blobs: Blobs
    ledger: Ledger


@cache
def settings() -> Settings:
    """Return the settings of this process, read once.

    Bad settings end it with one line on stderr.
    """
    try:
        return locate(Settings.load())
    except AgewellError as error:
        exit_with_error(error)


def exit_with_error(error: AgewellError) -> NoReturn:
    """End the process with one line on stderr and the exit status of this kind of error."""
    sys.stderr.write(f"error: {error}\n")
    sys.exit(next((status for kind, status in _STATUSES.items() if isinstance(error, kind)), 1))


@cache
def context() -> Context:
    """Return the tools of this process."""
    client = connect(settings())
    return Context(
        settings=settings(),
        client=client,
        blobs=Blobs(settings(), client),
        ledger=Ledger(client, Lifetimes(*settings().lifetimes_s)),
    )
