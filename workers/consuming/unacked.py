"""Acknowledges or requeues the jobs that a worker has reserved.

Each worker has a hash in Redis with its reserved jobs. The field is the delivery tag, and the value
is the queue and the job's id. For a queue without an order, such as a reply queue, the value is the
list and the message.
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

from agewell.shared.protocol import envelope
from agewell.shared.queue.publish import ORDERED
from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from agewell.shared.redis.connection import REDIS_ERRORS
from agewell.shared.redis.scripts import Script
from agewell.shared.settings import DEFAULT_K_PER_S
from agewell.workers.consuming.pending_ends import pending_ends
from agewell.workers.process.pause import pause

_ACKNOWLEDGE = Script("acknowledge")
_GIVE_BACK = Script("give_back")


def acknowledge(client: redis.Redis, reserved: str, tags: Iterable[str]) -> None:
    """Remove the reservations of jobs that have ended."""
    _ACKNOWLEDGE(client, [reserved], [keys.RECORD_PREFIX, *tags])


def give_back(
    client: redis.Redis,
    reserved: str,
    tag: str,
    aging_k: Mapping[str, float],
    *,
    lost_max: int = 0,
    now: float | None = None,
) -> bool:
    """Requeue a job at its place in the order. Returns False if it is not reserved.

    Args:
        client: Redis.
        reserved: key of the hash of a worker's reserved jobs.
        tag: delivery tag.
        aging_k: k of each queue in 1/s, unless an operator has set another in Redis.
        lost_max: after this many lost deliveries, upkeep gives the job up. Pass 0 if this delivery
            was not lost: its worker shuts down normally, or never received it.
        now: Unix time in seconds. Default: that of Redis's clock.
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
            "" if now is None else now,
            *_returning(entry),
            *(part for queue in ORDERED for part in (queue, aging_k.get(queue, DEFAULT_K_PER_S))),
        ],
    )
    return bool(answer)


class QoS(kombu_redis.QoS):  # type: ignore[misc]
    """The unacknowledged deliveries of a channel. The take has already reserved them in Redis.

    A rejected job, such as one of a killed pool process, returns to its place in the order.

    A channel without its connection changes nothing in Redis. Its jobs are requeued like the jobs
    of a dead worker. Jobs that have ended by then do not run again.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.ended: set[str] = set()
        """Tags of ended jobs that are not yet acknowledged in Redis."""
        self._thread = threading.get_ident()

    def can_consume(self) -> bool:
        """True if the worker may take one more message. Always False during a pause."""
        return not pause.reason and bool(super().can_consume())

    def append(self, message: Any, delivery_tag: str) -> None:
        """Remember a message that was taken."""
        virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a job that has ended. If a take is due soon, the take does it."""
        virtual.QoS.ack(self, delivery_tag)
        self.ended.add(delivery_tag)
        # A pool thread does not take, and the thread that does may be blocked.
        if threading.get_ident() != self._thread or not self.channel.takes_soon():
            self.acknowledge_ended()

    def acknowledge_ended(self) -> None:
        """Write the ends of finished jobs and acknowledge them, unless the connection is lost."""
        if self._is_cut_off():
            return
        for job_id, told in list(pending_ends.items()):
            self.channel.end(told)
            pending_ends.pop(job_id, None)
        ended = self.ended.copy()
        if ended:
            acknowledge(self.channel.unprefixed_client(), self.unacked_key, ended)
            self.ended -= ended

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Requeue a job, or turn it into a dead letter. Does nothing if the connection is lost."""
        if self._is_cut_off():
            return
        if requeue:
            # A worker that was told to stop has not lost the job, so this does not count.
            stops = (
                worker_state.should_stop is not None or worker_state.should_terminate is not None
            )
            self._give_back(delivery_tag, 0 if stops else self.channel.max_deliveries)
        else:
            self.channel.refuse(delivery_tag, "refused by the worker")
        virtual.QoS.ack(self, delivery_tag)

    def return_unrun(self, delivery_tag: str) -> None:
        """Requeue a job that this worker cannot run. The delivery does not count as a lost one."""
        if not self._is_cut_off():
            self._give_back(delivery_tag, 0)
        virtual.QoS.ack(self, delivery_tag)

    def give_back_unanswered(self, tags: list[str]) -> None:
        """Requeue messages that Redis may have sent over a connection that then broke."""
        if tags:
            # The other connections of the pool may be broken too.
            self.channel.pool.disconnect(inuse_connections=False)
        while tags:
            self._give_back(tags[-1], 0)
            tags.pop()

    def restore_unacked(self, client: Any = None) -> None:
        """Requeue everything that is reserved, if Redis can be reached."""
        del client  # kombu's client may add a prefix to our keys
        if not self._is_cut_off():
            with contextlib.suppress(*REDIS_ERRORS):
                # Messages of plain lists return to the head, so the last one taken goes first.
                for tag in reversed(list(self._delivered)):
                    self._give_back(tag, 0)
        self._delivered.clear()

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:
        """Requeue one message."""
        del client, leftmost  # kombu pushes left and pops right, so leftmost means the tail
        self._give_back(tag, 0)

    def restore_visible(self, *args: Any, **options: Any) -> None:
        """Do nothing.

        Upkeep requeues the jobs of dead workers, not old jobs (`maintenance.rescue`).
        """

    def _give_back(self, tag: str, lost_max: int) -> None:
        client, aging_k = self.channel.unprefixed_client(), self.channel.aging_k
        give_back(client, self.unacked_key, tag, aging_k, lost_max=lost_max)

    def _is_cut_off(self) -> bool:
        """True if the channel is closed, or kombu has dropped its connection."""
        transport = self.channel.connection
        return transport is None or transport.client is None


def _returning(entry: bytes) -> Sequence[str | bytes]:
    """Return the list and the message to requeue, for a queue without an order."""
    waiting, _, raw = entry.partition(b"\n")
    if not waiting:
        return "", ""
    message = envelope.read(raw)
    if message is None or not isinstance(message["properties"].get("delivery_info"), dict):
        return waiting, raw
    message["headers"]["redelivered"] = True
    message["properties"]["delivery_info"]["redelivered"] = True
    return waiting, json.dumps(message)
