"""The workers' kombu channel: takes jobs safely, and refuses messages that are not Celery tasks.

kombu pops a message, and only its next command records that it has the message. A worker that is
killed between the two loses it. Here one Lua script does both. A worker that finds no job blocks on
its own wake-up list. Publishing pushes to one of these lists, so one job wakes one worker.

A worker that has finished a job takes the next one at once, so the same script also ends and
acknowledges the finished job.

kombu assumes that every message is a Celery task. A message that is not would crash the worker, be
requeued, and crash the next worker. Here it becomes a dead letter instead.
"""

import contextlib
import logging
from collections.abc import Callable
from enum import Enum, auto
from functools import cache
from queue import Empty
from time import monotonic
from typing import Any

import redis
from kombu.transport import virtual

from agewell.shared.celery import transport
from agewell.shared.queue.ledger import Ledger
from agewell.shared.queue.letter import excerpt_of, names_in
from agewell.shared.redis.connection import REDIS_ERRORS
from agewell.shared.redis.scripts import Prepared, load_all
from agewell.workers.consuming.ends import Told, unwritten
from agewell.workers.consuming.message import message_of, named
from agewell.workers.consuming.take import (
    TAKE,
    Taken,
    asking,
    delivery_tags,
    forget_idle,
    prepare_take,
    wait_command,
)
from agewell.workers.consuming.unacked import QoS, acknowledge, give_back, refuse

log = logging.getLogger(__name__)


class _Phase(Enum):
    """State of the connection that takes messages."""

    IDLE = auto()
    TAKING = auto()
    BLOCKED = auto()  # waits on the wake-up list


class Channel(transport.Channel):
    """kombu's channel for a worker."""

    QoS = QoS

    def __init__(self, *args: Any, **options: Any) -> None:
        self._phase = _Phase.IDLE
        self._tag, self._asked_at = "", 0.0
        self._unanswered: list[str] = []
        self._ended, self._no_ack = set[str](), set[str]()
        self._written: dict[str, Told] = {}
        self._tags = delivery_tags()
        self._prepared = cache(self._prepare)
        super().__init__(*args, **options)

    def basic_consume(
        self,
        queue: str,
        no_ack: bool,
        callback: Callable[[Any], None],
        consumer_tag: str,
        **kwargs: Any,
    ) -> Any:
        """Consume a queue. A message that Celery cannot turn into a task is refused."""

        def guarded(message: Any) -> None:
            try:
                callback(message)
            except REDIS_ERRORS:  # kombu's own list contains KeyError too
                raise
            except Exception as error:
                log.exception(
                    "message refused, it is not a Celery task: %s", named(message.headers)
                )
                self.refuse(message.delivery_tag, error)
                virtual.QoS.ack(self.qos, message.delivery_tag)

        if no_ack:
            self._no_ack.add(queue)
        return super().basic_consume(queue, no_ack, guarded, consumer_tag, **kwargs)

    def basic_cancel(self, consumer_tag: str) -> Any:
        """Stop consuming. No take follows that could acknowledge jobs, so it is done here."""
        cancelled = super().basic_cancel(consumer_tag)
        if not self.active_queues:
            # If Redis is down, upkeep requeues these deliveries, and their jobs do not run again.
            with contextlib.suppress(*REDIS_ERRORS):
                self.qos.acknowledge_ended()
                self._leave()
        return cancelled

    def takes_soon(self) -> bool:
        """True if a take is due before the event loop waits for anything."""
        soon = self._phase in {_Phase.IDLE, _Phase.TAKING} and self.active_queues
        return bool(soon and self.qos.can_consume())

    def end(self, told: Told) -> None:
        """End a finished job at once."""
        Ledger(self.unprefixed_client(), self.lifetimes, self._clock).write(told)

    def refuse(self, tag: str, reason: str | Exception) -> None:
        """Turn a message into a dead letter, because Celery cannot make a task of it."""
        if isinstance(reason, Exception):
            reason = f"{type(reason).__name__}: {reason}"
        refuse(self.unprefixed_client(), self.unacked_key, tag, reason, self.lifetimes)

    def close(self) -> None:
        """Close the channel. A message that is on its way is received first, then requeued."""
        if self._phase is not _Phase.TAKING:
            self._in_poll = None
        super().close()

    def _get(self, queue: str) -> dict[str, Any]:
        """Take one message without blocking, for `basic_get`."""
        self._recover_unanswered()
        client = self.unprefixed_client()
        while True:
            tag = next(self._tags)
            self._unanswered.append(tag)
            self._asked_at = self._clock.now(client)
            asked = asking(tag, self._asked_at)
            answer = TAKE.run(client, self._prepared((queue,), waits=False).command(*asked))
            self._unanswered.pop()
            if answer is None:
                raise Empty
            if queue in self._expires:
                with self.conn_or_acquire() as prefixed:
                    self._maybe_update_queues_expire(prefixed, queue)
            message = self._message_of(Taken.of(answer, self.global_keyprefix), tag)
            if message is not None:
                return message

    def basic_get(self, queue: str, no_ack: bool = False, **kwargs: Any) -> Any:
        """Take one message. It is reserved like any other, unless `no_ack` is set."""
        message = super().basic_get(queue, no_ack=no_ack, **kwargs)
        if message is not None and no_ack:
            acknowledge(self.unprefixed_client(), self.unacked_key, [message.delivery_tag])
        return message

    def _brpop_start(self, timeout: float | None = None) -> None:
        del timeout  # the script does not block, unlike kombu's BRPOP
        self._recover_unanswered()
        self._take()

    def _take(self) -> None:
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            return
        self._tag, ended = next(self._tags), self.qos.ended.copy()
        # No answer is pending on this connection, so the clock can use it.
        self._asked_at = self._clock.now(self.client)
        self._ended, self._written = ended, unwritten.copy()
        asked = asking(self._tag, self._asked_at, ended, self._written.values())
        packed = self._prepared(tuple(queues)).packed(*asked)
        self.qos.ended -= ended  # in place, because a thread can add to it at the same time
        for job_id in self._written:
            del unwritten[job_id]
        self._send(_Phase.TAKING, packed)

    def _prepare(self, queues: tuple[str, ...], *, waits: bool = True) -> Prepared:
        prefix, reserved, most = self.global_keyprefix, self.unacked_key, self.max_message_bytes
        return prepare_take(queues, prefix, reserved, most, self.aging_k, waits=waits)

    def _block(self) -> None:
        """Block until another client pushes to this worker's wake-up list."""
        self.qos.acknowledge_ended()
        self._send(_Phase.BLOCKED, wait_command(self.active_queues, self.unacked_key))

    def _leave(self) -> None:
        """Leave the list of idle workers, so that new jobs wake other workers."""
        if self.connection is not None and self.connection.client is not None:
            forget_idle(self.unprefixed_client(), self.unacked_key)

    def _send(self, phase: _Phase, packed: bytes) -> None:
        self._in_poll = connection = self.client.connection
        self._phase, self._brpop_sent_at = phase, monotonic()
        connection.send_packed_command([packed])

    def _brpop_read(self, **_: Any) -> Any:
        connection = self.client.connection
        try:
            answer = self._read(connection)
        except (redis.ResponseError, *self.connection_errors) as error:
            connection.disconnect()
            if isinstance(error, redis.ResponseError):
                # After a failover this may be a replica, or the user lacks a right: reconnect.
                log.error("Redis refused to hand out a message: %s", error)
                raise redis.ConnectionError(str(error)) from error
            raise
        if self._phase is _Phase.IDLE:
            self._in_poll = None
            self._flush_brpop_reauth()
        if answer is None:
            raise Empty
        return self._deliver(Taken.of(answer, self.global_keyprefix))

    def _read(self, connection: Any) -> Any:
        """Read the answer to a take, or None if no message came. After a wake-up it takes again."""
        if self._phase is _Phase.IDLE:
            raise redis.ConnectionError("Redis sent an answer that no command asked for")
        try:
            answer = connection.read_response()
        except redis.exceptions.NoScriptError:
            with self.conn_or_acquire() as client:
                load_all(client)  # Redis has restarted and lost its scripts
            self._keep_unanswered()
            self._phase = _Phase.IDLE
            return None
        self._ended, self._written = set(), {}
        phase, self._phase = self._phase, _Phase.IDLE
        if phase is _Phase.BLOCKED:
            self._take()
            return None
        if answer is None and self.active_queues and not self._closing:
            self._block()
        return answer

    def _deliver(self, taken: Taken) -> bool:
        tag, queue = self._tag, taken.queue
        self._queue_cycle.rotate(queue)
        message = self._message_of(taken, tag)
        if message is None:
            raise Empty
        try:
            self.connection._deliver(message, queue)
        except REDIS_ERRORS:
            raise
        except Exception as error:
            log.exception("message refused, kombu cannot deliver it: %s", named(message["headers"]))
            self.refuse(tag, error)
            raise Empty from None
        if queue in self._no_ack:
            self.qos.ended.add(tag)
        return True

    def _message_of(self, taken: Taken, tag: str) -> dict[str, Any] | None:
        """Build kombu's message.

        Returns None for an unreadable one, which becomes a dead letter.
        """
        try:
            return message_of(taken, tag, self._asked_at, self.max_message_bytes)
        except Exception as error:
            raw = taken.raw
            log.exception("message refused, unreadable: %s: %s", names_in(raw), excerpt_of(raw))
            self.refuse(tag, error)
            return None

    def _on_connection_disconnect(self, connection: Any) -> None:
        if self._in_poll is connection:
            if self._phase is _Phase.TAKING:
                self._unanswered.append(self._tag)
                self._keep_unanswered()
            self._phase = _Phase.IDLE
        super()._on_connection_disconnect(connection)

    def _keep_unanswered(self) -> None:
        """Keep the ends and acknowledgements of a failed take for the next one."""
        self.qos.ended |= self._ended
        unwritten.update(self._written)
        self._ended, self._written = set(), {}

    def _recover_unanswered(self) -> None:
        """Requeue messages that Redis may have sent over a connection that then broke."""
        if self._unanswered:
            # The other connections of the pool may be broken too.
            self.pool.disconnect(inuse_connections=False)
        while self._unanswered:
            client = self.unprefixed_client()
            give_back(client, self.unacked_key, self._unanswered[-1], self.aging_k)
            self._unanswered.pop()
