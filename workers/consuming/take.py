"""The take: one Lua script that acknowledges ended jobs, admits new ones, and reserves the next."""

import itertools
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from agewell.shared.protocol.levels import LEVELS
from agewell.shared.queue.publish import ORDERED
from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from agewell.shared.redis.packing import command
from agewell.shared.redis.scripts import Argument, Prepared, Script
from agewell.shared.settings import DEFAULT_K_PER_S

TAKE = Script("take")

TAKE_AGAIN_AFTER_S = 5.0
"""A blocked worker takes again after this time even if nothing wakes it. This also detects a
dead connection."""

LOOK_AGAIN_S = 0.05
"""How often a worker polls queues without an order, such as the queues of another program."""


@dataclass(frozen=True)
class Taken:
    """A message that was taken."""

    queue: str
    raw: bytes
    flag: str
    """Empty for a job that may run. Otherwise the state of a job that must not run: cancelled,
    expired, or ended while a chord has not counted it yet."""
    is_redelivered: bool
    """True if the message has been delivered before."""
    since: float | None
    """Since when the job waits, as Unix time in seconds. None for a queue without an order."""

    @classmethod
    def of(cls, answer: Sequence[Any], prefix: str) -> "Taken":
        """Read the script's answer. The prefix is removed from the names of plain lists."""
        queue, raw, flag, redelivered, _, since = answer
        return cls(
            keys.queue_of(queue.decode().removeprefix(prefix)),
            raw,
            flag.decode(),
            bool(redelivered),
            float(since) if since else None,
        )


def prepare_take(
    queues: Iterable[str],
    prefix: str,
    reserved: str,
    max_message_bytes: int,
    aging_k: Mapping[str, float],
    *,
    waits: bool = True,
) -> Prepared:
    """Prepare the command that takes the next message.

    It is completed with the arguments that `take_arguments` returns.

    Args:
        queues: the queues to take from.
        prefix: stands before the names of kombu's lists, for queues without an order.
        reserved: key of the hash of this worker's reserved jobs.
        max_message_bytes: larger messages are refused.
        aging_k: k of each queue in 1/s, unless an operator has set another in Redis.
        waits: True if the worker blocks until it is woken if there is no job.
    """
    names = list(queues)
    ordered = [queue for queue in names if queue in ORDERED]
    others = [queue for queue in names if queue not in ORDERED]
    lists = [f"{prefix}{keys.inlet(queue, level)}" for level in LEVELS for queue in others]
    arguments = [
        keys.worker_id_of(reserved),
        max_message_bytes,
        keys.RECORD_PREFIX,
        keys.RESULT_PREFIX,
        keys.RESERVED_PREFIX,
        int(waits),
        len(keys.orders()),
        len(ordered),
        *(part for queue in ordered for part in (queue, aging_k.get(queue, DEFAULT_K_PER_S))),
    ]
    return TAKE.prepare([*_keys_of_take(reserved, ordered), *lists], arguments)


def _keys_of_take(reserved: str, ordered: Iterable[str]) -> list[str]:
    """Return the keys of a take, except the lists of queues without an order."""
    return [
        reserved,
        keys.WORKER_IDS,
        keys.jobs(State.WAITING),
        keys.jobs(State.RUNNING),
        keys.STARTED,
        keys.COUNTS,
        keys.DEADLINES,
        keys.SEQUENCE,
        keys.AGING_K,
        keys.REFUSED,
        keys.jobs(State.DONE),
        keys.METRICS,
        wake_list(reserved),
        *keys.orders(),
        *(key for queue in ordered for key in keys.of_queue(queue)),
    ]


def take_arguments(
    tag: str,
    now: float,
    acknowledged: Iterable[str] = (),
    ends: Collection[Sequence[Argument]] = (),
) -> list[Argument]:
    """Return the arguments of one take.

    Args:
        tag: delivery tag under which the message is reserved.
        now: Unix time in seconds, by Redis's clock.
        acknowledged: tags of deliveries to acknowledge.
        ends: ends of finished jobs, as `Ledger.end_arguments` returned them.
    """
    told = (part for end in ends for part in (len(end), *end))
    return [tag, now, len(ends), *told, *acknowledged]


def wake_list(reserved: str) -> str:
    """Return the key of a worker's wake-up list, from the key of its reserved jobs."""
    return keys.wake(keys.worker_id_of(reserved) or reserved)


def forget_idle(client: redis.Redis, reserved: str) -> None:
    """Remove a worker from the lists of idle workers, so that new jobs do not wake it."""
    pipe = client.pipeline(transaction=False)
    for queue in ORDERED:
        pipe.zrem(keys.idle(queue), wake_list(reserved))
    pipe.execute()


def wait_command(queues: Collection[str], reserved: str) -> bytes:
    """Return the command that blocks until the worker is woken, or for a few seconds at most."""
    wait_s = TAKE_AGAIN_AFTER_S if ORDERED.issuperset(queues) else LOOK_AGAIN_S
    return command(["BLPOP", wake_list(reserved), wait_s])


def delivery_tags() -> Iterator[str]:
    """Generate delivery tags that are unique among all channels and sort by age."""
    name = uuid.uuid4().hex
    return (f"{number:012x}-{name}" for number in itertools.count())
