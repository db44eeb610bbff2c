"""Refuses messages that Celery cannot make a task of: they become dead letters.

kombu assumes that every message is a Celery task. A message that is not would crash the worker, be
requeued, and crash the next worker.
"""

import logging
from collections.abc import Callable
from typing import Any, cast

import redis
from kombu.transport import virtual

from agewell.shared.errors import DeadJobError
from agewell.shared.queue.dead_letters import DeadLetters
from agewell.shared.queue.documents import document_of
from agewell.shared.queue.ledger import End, Ledger, Lifetimes
from agewell.shared.queue.letter import excerpt_of, names_in
from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from agewell.shared.redis.clock import redis_now
from agewell.shared.redis.connection import REDIS_ERRORS
from agewell.workers.consuming.message import describe, message_of
from agewell.workers.consuming.take import Taken
from agewell.workers.consuming.unacked import acknowledge

log = logging.getLogger(__name__)


def refuse(client: redis.Redis, reserved: str, tag: str, reason: str, lifetimes: Lifetimes) -> None:
    """Make a dead letter of a reserved message, and end its job.

    Args:
        client: Redis.
        reserved: key of the hash of this worker's reserved jobs.
        tag: delivery tag.
        reason: why the message is refused, for the dead letter.
        lifetimes: how long the record and the result of the job are kept.
    """
    entry = cast("bytes | None", client.hget(reserved, tag))
    if entry is None:
        return
    queue, job_id, raw = _parts(entry)
    if job_id:
        raw = cast("bytes | None", client.hget(keys.job(job_id), "message")) or b""
    DeadLetters(client).keep_message(tag, queue, raw, reason)
    if job_id and client.hget(keys.job(job_id), "op"):
        error = DeadJobError(reason)
        end = End(job_id=job_id, state=State.DEAD, error=str(error))
        Ledger(client, lifetimes).end(end, document_of(job_id, error, redis_now(client)))
    acknowledge(client, reserved, [tag])


def message_or_refuse(channel: Any, taken: Taken, tag: str, now: float) -> dict[str, Any] | None:
    """Build kombu's message. Refuse an unreadable one, and return None.

    Args:
        channel: the workers' channel, which refuses the message.
        taken: the answer of the take.
        tag: the delivery tag under which the message is reserved.
        now: when the take was sent, as Unix time in seconds by Redis's clock.
    """
    try:
        return message_of(taken, tag, now, channel.max_message_bytes)
    except Exception as error:
        raw = taken.raw
        log.exception("message refused, unreadable: %s: %s", names_in(raw), excerpt_of(raw))
        channel.refuse(tag, error)
        return None


def refuse_on_error(channel: Any, callback: Callable[[Any], None]) -> Callable[[Any], None]:
    """Wrap a consumer's callback: a message for which it raises is refused.

    Args:
        channel: the workers' channel, which refuses the message.
        callback: gets one message of kombu's.
    """

    def guarded(message: Any) -> None:
        try:
            callback(message)
        except REDIS_ERRORS:  # kombu's own list contains KeyError too
            raise
        except Exception as error:
            log.exception("message refused, it is not a Celery task: %s", describe(message.headers))
            channel.refuse(message.delivery_tag, error)
            virtual.QoS.ack(channel.qos, message.delivery_tag)

    return guarded


def _parts(entry: bytes) -> tuple[str, str, bytes]:
    """Return the queue, the job's id and the message of a reservation.

    One of the last two is empty.
    """
    first, _, rest = entry.partition(b"\n")
    if first:
        return keys.queue_of(first.decode()), "", rest
    queue, _, job_id = rest.partition(b"\n")
    return queue.decode(), job_id.decode(), b""
