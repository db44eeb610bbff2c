"""The law in force: k of each queue, as the settings have it or as an operator has set it.

Setting k takes effect at once for jobs that come. Jobs that wait get their new places from the beat
task, in steps.
"""

from dataclasses import dataclass
from typing import Any

import redis

from agewell.shared.redis import keys
from agewell.shared.redis.scripts import Script
from agewell.shared.settings import Settings

_SET_K = Script("set_k")


@dataclass(frozen=True)
class Law:
    """How one queue ages."""

    queue: str
    k_per_s: float
    set_by_operator: bool
    """False if k comes from the settings."""
    since: float | None
    """When k was last changed, as Unix time in seconds; None if the beat task has not run yet."""
    waiting: int
    rescored: int | None
    """Of a change that is under way: jobs that have their new places; None if all have."""
    last_tick_at: float | None
    """When the beat task last ran for the queue, as Unix time in seconds."""


def set_k(
    client: redis.Redis, queue: str, k_per_s: float, now: float, *, by_operator: bool
) -> bool:
    """Set k of a queue; the settings' k does not change an operator's.

    Returns:
        True if k is another one now.
    """
    keys_of_law = [keys.AGING_K, keys.aging(queue)]
    return bool(_SET_K(client, keys_of_law, [queue, k_per_s, int(by_operator), now]))


def return_to_settings(client: redis.Redis, queue: str) -> None:
    """Forget that an operator has set k: the beat task's next run sets that of its settings."""
    client.hdel(keys.AGING_K, _set_field(queue))


def law_of(client: redis.Redis, settings: Settings, queue: str) -> Law:
    """Read how a queue ages; one round trip.

    Args:
        client: Redis.
        settings: for k, if nobody has set any in Redis yet.
        queue: whose.
    """
    pipe: Any = client.pipeline(transaction=False)
    pipe.hmget(keys.AGING_K, queue, _set_field(queue))
    pipe.hmget(keys.aging(queue), "k_since", "rescore_cursor", "rescored", "last_run_at")
    pipe.zcard(keys.order(queue))
    (k, is_set), (since, cursor, rescored, last_tick_at), waiting = pipe.execute()
    return Law(
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
