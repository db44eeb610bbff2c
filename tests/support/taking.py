"""Takes as workers do them, without a worker around them."""

import itertools
from dataclasses import dataclass

import redis

from agewell.shared.redis import keys
from agewell.shared.redis.clock import redis_now
from agewell.shared.settings import MAX_MESSAGE_BYTES
from agewell.workers.consuming.take import TAKE, prepare_take, take_arguments

WORKER = "cv@here:0123456789abcdef-1.1:1"


@dataclass(frozen=True)
class Delivery:
    """A job that a take has handed over."""

    job_id: str
    tag: str
    message: bytes
    flag: str
    is_redelivered: bool


_count = itertools.count()


def take(
    client: redis.Redis,
    worker_id: str = WORKER,
    queue: str = "cv",
    k: float = 0.05,
    ended: tuple[str, ...] = (),
) -> Delivery | None:
    """Take the next job for a worker. Returns None if nothing waits."""
    tag = f"{next(_count):012x}-tag"
    now, reserved = redis_now(client), keys.reserved(worker_id)
    prepared = prepare_take([queue], "", reserved, MAX_MESSAGE_BYTES, {queue: k})
    answer = TAKE.run(client, prepared.command(*take_arguments(tag, now, ended)))
    if answer is None:
        return None
    _, message, flag, redelivered, job_id, _ = answer
    return Delivery(job_id.decode(), tag, message, flag.decode(), bool(redelivered))


def order_of(client: redis.Redis, queue: str = "cv") -> list[tuple[bytes, float]]:
    """The places in a queue's order with their virtual times, the next first."""
    places: list[tuple[bytes, float]] = client.zrange(keys.order(queue), 0, -1, withscores=True)
    return places
