"""Redis while it reads its data from the disk: it answers LOADING, for as long as that takes."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import redis
from redis.exceptions import BusyLoadingError

TELL_EVERY_S = 5.0
LOOK_EVERY_S = 0.1
SILENT_MAX_S = 60.0
"""Redis answers between chunks of its data. One that is silent for longer has another trouble."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Loading:
    """How far Redis has come with its data."""

    loaded_bytes: int
    total_bytes: int
    left_s: int
    """Redis's own estimate of the time left, in seconds."""

    def __str__(self) -> str:
        loaded, total = self.loaded_bytes / 2**20, self.total_bytes / 2**20
        return (
            f"Redis is loading its data from the disk: {loaded:,.1f} of {total:,.1f} MiB, "
            f"about {self.left_s:,} s left"
        )


def loading(client: redis.Redis) -> Loading | None:
    """How far Redis has come, None if it has loaded its data.

    Raises:
        RedisError: it does not answer.
    """
    info = client.info("persistence")
    return loading_of(info) if info.get("loading") else None


def loading_of(info: Mapping[str, Any]) -> Loading:
    """Read what INFO says of a Redis that loads its data."""
    return Loading(
        loaded_bytes=int(info.get("loading_loaded_bytes", 0)),
        total_bytes=int(info.get("loading_total_bytes", 0)),
        left_s=int(info.get("loading_eta_seconds", 0)),
    )


class Progress:
    """Says every few seconds how far a Redis has come with loading its data."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._due_at = time.monotonic()

    def show(self, client: redis.Redis) -> None:
        """Say it, if that is due; call this as often as you like."""
        if time.monotonic() < self._due_at:
            return
        try:
            found = loading(client)
        except redis.RedisError:
            return  # it is busy with its data, or has loaded it
        if found is not None:
            self._due_at = time.monotonic() + TELL_EVERY_S
            self._tell(str(found))


def ping_when_loaded(client: redis.Redis, tell: Tell) -> None:
    """Ping Redis; wait as long as it loads its data, and say every few seconds how far it is.

    Raises:
        RedisError: it does not answer.
    """
    progress, heard_at = Progress(tell), None
    while True:
        try:
            client.ping()
            return
        except BusyLoadingError:
            heard_at = time.monotonic()
            progress.show(client)
        except redis.TimeoutError:
            if heard_at is None or time.monotonic() - heard_at > SILENT_MAX_S:
                raise
        time.sleep(LOOK_EVERY_S)
