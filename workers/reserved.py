"""Messages that workers have taken and not acknowledged: given back, or given up.

A run of a worker keeps them in one hash: a tag, and under it the list that the message came from, a
newline, and the message as it was.
"""

import contextlib
import json
import threading
from typing import Any, cast

import kombu.transport.redis as kombu_redis
import redis
from celery.worker import state as worker_state
from kombu.transport import virtual

from shared import envelope, keys
from shared.dead_letters import DeadLetters
from shared.entry import State
from shared.redis_client import REDIS_ERRORS
from shared.scripts import script
from workers.pause import pause


def give_back(client: redis.Redis, reserved: str, tag: str) -> bool:
    """Put a message back at the head of the list of its given level; False where it is not held.

    Args:
        client: the broker's Redis.
        reserved: the hash of what a run has reserved.
        tag: of the message.
    """
    entry = cast("bytes | None", client.hget(reserved, tag))
    if entry is None:
        return False
    waiting, raw = _parts(entry)
    message, job_id = _redelivered(raw)
    if message is not None:
        level = envelope.level_of(message["properties"].get("priority"))
        waiting = keys.waiting_list(keys.queue_of(waiting), level)
    given_back = client.eval(
        script("workers", "give_back"),
        5,
        reserved,
        waiting,
        keys.job(job_id),
        keys.jobs(State.RUNNING),
        keys.jobs(State.WAITING),
        tag,
        raw if message is None else json.dumps(message),
        job_id,
        # Set once this worker has been asked to stop.
        int(worker_state.should_stop is not None or worker_state.should_terminate is not None),
    )
    return bool(given_back)


def refuse(client: redis.Redis, reserved: str, tag: str, reason: str) -> None:
    """Put a message that is no task among the dead letters."""
    entry = cast("bytes | None", client.hget(reserved, tag))
    if entry is not None:
        waiting, raw = _parts(entry)
        DeadLetters(client).keep_message(tag, keys.queue_of(waiting), raw, reason)
        client.hdel(reserved, tag)


class QoS(kombu_redis.QoS):  # type: ignore[misc]
    """Reserved messages, which the take has noted already.

    kombu returns a rejected one, such as that of a killed pool process, to the tail. It was taken
    first because it was due first, so it must be due first again.

    A channel whose connection is gone reaches nobody: its run is over, and whatever that held comes
    back like a dead worker's. What has ended by then is not run again.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.ended: set[str] = set()
        """Tags of messages that Redis has not yet been told to let go of."""
        self._thread = threading.get_ident()

    def can_consume(self) -> bool:
        """True if there is room for one more message; never during a pause."""
        return not pause.reason and bool(super().can_consume())

    def append(self, message: Any, delivery_tag: str) -> None:
        """Remember a message that was taken."""
        virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Let go of a message whose job has ended; with the next question where one is due."""
        virtual.QoS.ack(self, delivery_tag)
        self.ended.add(delivery_tag)
        # A thread of the pool does not ask, and the one that does may be asleep.
        if threading.get_ident() != self._thread or not self.channel.asks_soon():
            self.acknowledge_ended()

    def acknowledge_ended(self) -> None:
        """Let go of them now; not where nobody is reached."""
        # kombu does it in a transaction, of which a Redis that is full takes nothing.
        ended = self.ended.copy()
        if ended and not self._is_cut_off():
            with self.channel.conn_or_acquire() as client:
                client.hdel(self.unacked_key, *ended)
            self.ended -= ended

    def pop_ended(self) -> set[str]:
        """The tags of those that the next question shall let go of."""
        ended = self.ended.copy()
        self.ended -= ended  # in place: a thread may add to it meanwhile
        return ended

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Give a message back, or put it among the dead letters; not where nobody is reached."""
        if self._is_cut_off():
            return
        if requeue:
            self.restore_by_tag(delivery_tag)
        else:
            with self.channel.conn_or_acquire() as client:
                refuse(client, self.unacked_key, delivery_tag, "refused by the worker")
        virtual.QoS.ack(self, delivery_tag)

    def restore_unacked(self, client: Any = None) -> None:
        """Give back all that is held, if Redis can be reached."""
        if not self._is_cut_off():
            with contextlib.suppress(*REDIS_ERRORS):
                # Each goes to the head, so the one taken last goes first.
                for tag in reversed(list(self._delivered)):
                    self.restore_by_tag(tag, client)
        self._delivered.clear()

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:
        """Give back one message."""
        del leftmost  # kombu pushes left and pops right: leftmost would be the tail
        with self.channel.conn_or_acquire(client) as connected:
            give_back(connected, self.unacked_key, tag)

    def _is_cut_off(self) -> bool:
        """Whether the channel or, as kombu drops a lost one, its whole connection is closed."""
        transport = self.channel.connection
        return transport is None or transport.client is None

    def restore_visible(self, *args: Any, **options: Any) -> None:
        """Nothing comes back by its age: what dead workers held does, see workers.liveness."""


def _parts(entry: bytes) -> tuple[str, bytes]:
    waiting, _, raw = entry.partition(b"\n")
    return waiting.decode(), raw


def _redelivered(raw: bytes) -> tuple[dict[str, Any] | None, str]:
    """The message, marked as one that comes again, and its job's id; None where it is none."""
    message = envelope.read(raw)
    if message is None or not isinstance(message["properties"].get("delivery_info"), dict):
        return None, ""
    message["headers"]["redelivered"] = True
    message["properties"]["delivery_info"]["redelivered"] = True
    return message, str(message["headers"].get("id"))
