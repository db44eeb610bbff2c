"""The aging of each queue: k from the settings, or as an operator has set it.

A new k applies at once to jobs that are enqueued from then on. The beat task moves the jobs that
already wait to their new places, in steps.
"""

from dataclasses import dataclass
from typing import Any

import redis

from agewell.shared.redis import keys
from agewell.shared.redis.scripts import Script
from agewell.shared.settings import Settings

_SET_K = Script("set_k")


@dataclass(frozen=True)
class QueueAging:
    """The aging of one queue."""

    queue: str
    k_per_s: float
    set_by_operator: bool
    """False if k comes from the settings."""
    since: float | None
    """When k last changed, as Unix time in seconds. None if the beat task has not run yet."""
    waiting: int
    """The number of waiting jobs, without scheduled ones."""
    rescored: int | None
    """While a change of k is applied, the number of jobs moved so far. None if all are moved."""
    last_tick_at: float | None
    """When the beat task last ran for the queue, as Unix time in seconds, or None."""


def set_k(
    client: redis.Redis, queue: str, k_per_s: float, now: float, *, by_operator: bool
) -> bool:
    """Set k of a queue. A k from the settings does not replace an operator's.

    Args:
        client: Redis.
        queue: the queue's name.
        k_per_s: k per second.
        now: Unix time in seconds, by Redis's clock.
        by_operator: False if k comes from the settings.

    Returns:
        True if k has changed.
    """
    hashes = [keys.AGING_K, keys.aging(queue)]
    return bool(_SET_K(client, hashes, [queue, k_per_s, int(by_operator), now]))


def return_to_settings(client: redis.Redis, queue: str) -> None:
    """Forget the operator's k. The next run of the beat task sets k from its settings."""
    client.hdel(keys.AGING_K, _set_field(queue))


def read_aging(client: redis.Redis, settings: Settings, queue: str) -> QueueAging:
    """Read the aging of a queue, in one round trip.

    Args:
        client: Redis.
        settings: for k, if Redis has none yet.
        queue: the queue's name.
    """
    pipe: Any = client.pipeline(transaction=False)
    pipe.hmget(keys.AGING_K, queue, _set_field(queue))
    pipe.hmget(keys.aging(queue), "k_since", "rescore_cursor", "rescored", "last_run_at")
    pipe.zcard(keys.order(queue))
    (k, is_set), (since, cursor, rescored, last_tick_at), waiting = pipe.execute()
    return QueueAging(
        queue=queue,
        k_per_s=settings.k_of(queue) if k is None else float(k),
        set_by_operator=is_set is not None,
        since=_number(since),
        waiting=waiting,
        rescored=None if cursor is None else int(rescored or 0),
        last_tick_at=_number(last_tick_at),
    )


def _number(raw: bytes | None) -> float | None:
    return None if raw is None else float(raw)


def _set_field(queue: str) -> str:
    return f"{queue}:set"
