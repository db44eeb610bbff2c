"""Jobs that a worker has reserved: acknowledged, given back, or refused.

A worker keeps what it has reserved in a hash of its own: a delivery tag, and under it the queue and
the job's id. For a queue without an order, such as one of replies, it is the list and the message.
"""

import contextlib
import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import kombu.transport.redis as kombu_redis
import redis
from celery.worker import state as worker_state
from kombu.transport import virtual

from agewell.shared.errors import DeadJobError
from agewell.shared.protocol import envelope
from agewell.shared.queue.dead_letters import DeadLetters
from agewell.shared.queue.documents import document_of
from agewell.shared.queue.ledger import End, Ledger, Lifetimes
from agewell.shared.queue.publish import ORDERED
from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from agewell.shared.redis.clock import redis_now
from agewell.shared.redis.connection import REDIS_ERRORS
from agewell.shared.redis.scripts import Script
from agewell.shared.settings import DEFAULT_K_PER_S
from agewell.workers.consuming.ends import unwritten
from agewell.workers.process.pause import pause

_ACKNOWLEDGE = Script("acknowledge")
_GIVE_BACK = Script("give_back")


def acknowledge(client: redis.Redis, reserved: str, tags: Iterable[str]) -> None:
    """Let go of jobs that have ended."""
    _ACKNOWLEDGE(client, [reserved], [keys.RECORD_PREFIX, *tags])


def give_back(
    client: redis.Redis,
    reserved: str,
    tag: str,
    aging_k: Mapping[str, float],
    *,
    lost_max: int = 0,
) -> bool:
    """Give a job back to its place in the order; False if it is not reserved.

    Args:
        client: Redis.
        reserved: the hash of what a worker has reserved.
        tag: of the delivery.
        aging_k: k of each queue, per second, if no other is in force.
        lost_max: a lost delivery counts, and after so many of them upkeep gives the job up; 0 if
            this delivery was not lost: its worker stops in peace, or never saw it.
    """
    entry = cast("bytes | None", client.hget(reserved, tag))
    if entry is None:
        return False
    answer = _GIVE_BACK(
        client,
        [
            reserved,
            keys.jobs(State.WAITING),
            keys.jobs(State.RUNNING),
            keys.GIVEN_UP,
            keys.AGING_K,
            *(key for queue in ORDERED for key in (keys.order(queue), keys.idle(queue))),
        ],
        [
            tag,
            keys.RECORD_PREFIX,
            int(lost_max > 0),
            lost_max,
            *_returning(entry),
            *(part for queue in ORDERED for part in (queue, aging_k.get(queue, DEFAULT_K_PER_S))),
        ],
    )
    return bool(answer)


def refuse(client: redis.Redis, reserved: str, tag: str, reason: str, lifetimes: Lifetimes) -> None:
    """Make a dead letter of a message of which Celery cannot make a task; its job ends."""
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


class QoS(kombu_redis.QoS):  # type: ignore[misc]
    """Jobs that the channel has reserved. The take has noted them in Redis already.

    A rejected job, such as that of a killed pool process, returns to its place: it was taken first
    because it was due first, so it must be due first again.

    A channel without its connection can change nothing: what it held comes back as a dead worker's
    jobs do. Jobs that have ended by then are not run again.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.ended: set[str] = set()
        """Tags of ended jobs that Redis has not yet been told of."""
        self._thread = threading.get_ident()

    def can_consume(self) -> bool:
        """True if there is room for one more message; never during a pause."""
        return not pause.reason and bool(super().can_consume())

    def append(self, message: Any, delivery_tag: str) -> None:
        """Remember a message that was taken."""
        virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a job that has ended; with the next take, if one is due."""
        virtual.QoS.ack(self, delivery_tag)
        self.ended.add(delivery_tag)
        # A thread of the pool does not take, and the one that does may be asleep.
        if threading.get_ident() != self._thread or not self.channel.takes_soon():
            self.acknowledge_ended()

    def acknowledge_ended(self) -> None:
        """End and acknowledge now what has been done, unless the connection is gone."""
        if self._is_cut_off():
            return
        for job_id, told in list(unwritten.items()):
            self.channel.end(told)
            unwritten.pop(job_id, None)
        ended = self.ended.copy()
        if ended:
            acknowledge(self.channel.unprefixed_client(), self.unacked_key, ended)
            self.ended -= ended

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Give a job back, or make a dead letter of it; not if the connection is gone."""
        if self._is_cut_off():
            return
        if requeue:
            # Set once this worker has been asked to stop.
            stops = (
                worker_state.should_stop is not None or worker_state.should_terminate is not None
            )
            self._give_back(delivery_tag, 0 if stops else self.channel.max_deliveries)
        else:
            self.channel.refuse(delivery_tag, "refused by the worker")
        virtual.QoS.ack(self, delivery_tag)

    def restore_unacked(self, client: Any = None) -> None:
        """Give back all that is held, if Redis can be reached."""
        del client  # it may put a prefix before keys of ours
        if not self._is_cut_off():
            with contextlib.suppress(*REDIS_ERRORS):
                # Messages of plain lists go to the head, so the one taken last goes first.
                for tag in reversed(list(self._delivered)):
                    self._give_back(tag, 0)
        self._delivered.clear()

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:
        """Give back one message."""
        del client, leftmost  # kombu pushes left and pops right: leftmost would be the tail
        self._give_back(tag, 0)

    def restore_visible(self, *args: Any, **options: Any) -> None:
        """Nothing comes back by its age; a dead worker's jobs do (`maintenance.rescue`)."""

    def _give_back(self, tag: str, lost_max: int) -> None:
        client, aging_k = self.channel.unprefixed_client(), self.channel.aging_k
        give_back(client, self.unacked_key, tag, aging_k, lost_max=lost_max)

    def _is_cut_off(self) -> bool:
        """True if the channel or, as kombu drops a lost one, its whole connection is closed."""
        transport = self.channel.connection
        return transport is None or transport.client is None


def _parts(entry: bytes) -> tuple[str, str, bytes]:
    """The queue, the job's id and the message of what is reserved; one of the last two is empty."""
    first, _, rest = entry.partition(b"\n")
    if first:
        return keys.queue_of(first.decode()), "", rest
    queue, _, job_id = rest.partition(b"\n")
    return queue.decode(), job_id.decode(), b""


def _returning(entry: bytes) -> Sequence[str | bytes]:
    """The list and the message that go back, for a message of a queue without an order."""
    waiting, _, raw = entry.partition(b"\n")
    if not waiting:
        return "", ""
    message = envelope.read(raw)
    if message is None or not isinstance(message["properties"].get("delivery_info"), dict):
        return waiting, raw
    message["headers"]["redelivered"] = True
    message["properties"]["delivery_info"]["redelivered"] = True
    return waiting, json.dumps(message)
