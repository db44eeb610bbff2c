"""Waiting for a Redis that loads its data from disk. It answers LOADING until it is done."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import redis
from redis.exceptions import BusyLoadingError

REPORT_EVERY_S = 5.0
PING_EVERY_S = 0.1
SILENT_MAX_S = 60.0
"""A loading Redis answers between chunks of its data. Longer silence has another reason."""

Tell = Callable[[str], None]
"""A function that is called with a line for people, such as a logger's method."""


@dataclass(frozen=True)
class Loading:
    """Progress of a Redis that loads its data."""

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
    """Ask Redis for its progress. Returns None if it has loaded its data.

    Raises:
        RedisError: Redis does not answer.
    """
    info = client.info("persistence")
    return loading_of(info) if info.get("loading") else None


def loading_of(info: Mapping[str, Any]) -> Loading:
    """Read the progress from the answer to INFO."""
    return Loading(
        loaded_bytes=int(info.get("loading_loaded_bytes", 0)),
        total_bytes=int(info.get("loading_total_bytes", 0)),
        left_s=int(info.get("loading_eta_seconds", 0)),
    )


class Progress:
    """Reports every few seconds how much of its data Redis has loaded."""

    def __init__(self, tell: Tell) -> None:
        self._report = tell
        self._due_at = time.monotonic()

    def show(self, client: redis.Redis) -> None:
        """Report the progress if a report is due. You may call this as often as you like."""
        if time.monotonic() < self._due_at:
            return
        try:
            found = loading(client)
        except redis.RedisError:
            return  # Redis is too busy to answer, or has just finished
        if found is not None:
            self._due_at = time.monotonic() + REPORT_EVERY_S
            self._report(str(found))


def ping_when_loaded(client: redis.Redis, tell: Tell) -> None:
    """Ping Redis until it has loaded its data, and report the progress every few seconds.

    Raises:
        RedisError: Redis does not answer.
    """
    progress, answered_at = Progress(tell), None
    while True:
        try:
            client.ping()
            return
        except BusyLoadingError:
            answered_at = time.monotonic()
            progress.show(client)
        except redis.TimeoutError:
            if answered_at is None or time.monotonic() - answered_at > SILENT_MAX_S:
                raise
        time.sleep(PING_EVERY_S)
