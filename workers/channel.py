"""The workers' end of the queue, made to lose nothing and to bear what may lie in it.

kombu pops a message and notes in a second step that it has it: a worker that is killed between the
two loses it. Here one script does both. It cannot block as BRPOP does, so a worker that finds
nothing has Redis tell it when one of its lists changes (CLIENT TRACKING), and asks again then.

A worker whose job has ended asks for the next one at once, so that question acknowledges the
message too: kombu's acknowledgement, a round trip before it, was a third of a busy main loop's
time.

kombu also takes every message for one of Celery's. One that is not, whoever put it there, would end
the worker, be restored, and end the next one; for ever, with everything behind it.
"""

import contextlib
import itertools
import logging
import time
import uuid
from collections.abc import Callable
from enum import Enum, auto
from queue import Empty
from typing import Any

import redis
from kombu.transport import virtual
from kombu.utils.json import loads

from shared import envelope, keys, transport
from shared.letter import beginning, excerpt_of, names_in
from shared.oversize import as_message, shrinking_script, size_of
from shared.redis_client import REDIS_ERRORS
from workers.reserved import QoS, give_back, refuse
from workers.unpack import unpack

log = logging.getLogger(__name__)

ASK_AGAIN_AFTER_S = 5.0
"""A worker that is told of no change asks nevertheless: so a dead connection is found out."""


class _Phase(Enum):
    """What the connection that takes messages is about."""

    IDLE = auto()
    ASKED = auto()  # for a message
    ARMING = auto()  # none waits: it asks to be told of changes, and whether one came meanwhile
    LISTENING = auto()  # nothing is on its way but word of a change


class Channel(transport.Channel):
    """kombu's channel, less its trust."""

    QoS = QoS

    def __init__(self, *args: Any, **options: Any) -> None:
        self._phase = _Phase.IDLE
        self._lists: list[str] = []
        self._tracked = False
        self._tag = ""
        self._unanswered: list[str] = []
        self._ended: set[str] = set()
        self._no_ack: set[str] = set()
        self._name, self._count = uuid.uuid4().hex, itertools.count()
        self._phase_since = time.monotonic()
        self._brpop_sent_at: float | None = None
        super().__init__(*args, **options)

    def basic_consume(
        self,
        queue: str,
        no_ack: bool,
        callback: Callable[[Any], None],
        consumer_tag: str,
        **kwargs: Any,
    ) -> Any:
        """Consume; refuse a message of which Celery cannot make a task, and go on to the next."""

        def guarded(message: Any) -> None:
            try:
                callback(message)
            except REDIS_ERRORS:  # not kombu's own list: that counts a missing key among them
                raise
            except Exception as error:
                log.exception("refused, no task of Celery's: %s", _named(message.headers))
                self._refuse(message.delivery_tag, error)
                virtual.QoS.ack(self.qos, message.delivery_tag)

        if no_ack:
            self._no_ack.add(queue)
        consumed = super().basic_consume(queue, no_ack, guarded, consumer_tag, **kwargs)
        # It may be listening to other lists than those it shall take from now.
        if self._phase is _Phase.LISTENING:
            self._ask()
        return consumed

    def basic_cancel(self, consumer_tag: str) -> Any:
        """Consume no more: nothing is asked for from now, so nothing waits for a question."""
        cancelled = super().basic_cancel(consumer_tag)
        if not self.active_queues:
            # Where Redis is away their messages come back as a dead run's do, and are done.
            with contextlib.suppress(*REDIS_ERRORS):
                self.qos.acknowledge_ended()
        return cancelled

    def asks_soon(self) -> bool:
        """Whether it asks for a message before the loop waits for anything."""
        asks = self._phase in {_Phase.IDLE, _Phase.ASKED} and self.active_queues
        return bool(asks and self.qos.can_consume())

    def ask_again(self) -> None:
        """Ask for a message although no change was heard of for some time."""
        self.qos.acknowledge_ended()
        waited_s = time.monotonic() - self._phase_since
        if self._phase is _Phase.LISTENING and waited_s > ASK_AGAIN_AFTER_S:
            self._ask()

    def ask_now(self) -> None:
        """Ask for a message although no change was heard of: there may be room again."""
        if self._phase is _Phase.LISTENING:
            self._ask()

    def close(self) -> None:
        """Close; a message on its way is taken in first, and then given back with the others."""
        if self._phase is not _Phase.ASKED:
            self._in_poll = None
        super().close()

    def _connparams(self, asynchronous: bool = False) -> Any:
        # The third version of the protocol: word of a change comes over the same connection.
        return super()._connparams(asynchronous=asynchronous) | {"protocol": 3}

    def _brpop_start(self, timeout: float | None = None) -> None:
        del timeout  # what kombu calls a BRPOP never blocks here
        self._recover_unanswered()
        self._ask()

    def _ask(self) -> None:
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            return
        self._lists = [
            self._q_for_pri(queue, pri) for pri in self.priority_steps for queue in queues
        ]
        if not self.qos.can_consume():
            # It only listens: the answer is read when a slot is free, and then it asks at once.
            self._arm()
            return
        commands: list[tuple[Any, ...]] = [("CLIENT", "TRACKING", "OFF")] if self._tracked else []
        # Tags sort by age: what is given back together goes to its head youngest first.
        self._tag = f"{next(self._count):012x}-{self._name}"
        self._ended = self.qos.pop_ended()
        named = (self.unacked_key, keys.WORKER_RUNS, *self._lists)
        said = (keys.run_of(self.unacked_key), self._tag, self.max_message_bytes, *self._ended)
        commands.append(("EVAL", shrinking_script("workers", "take"), len(named), *named, *said))
        self._send(_Phase.ASKED, commands)

    def _arm(self) -> None:
        self.qos.acknowledge_ended()
        track = ("CLIENT", "TRACKING", "ON", "NOLOOP")
        self._send(_Phase.ARMING, [track, ("EXISTS", *self._lists)])

    def _send(self, phase: _Phase, commands: list[tuple[Any, ...]]) -> None:
        connection = self.client.connection
        self._in_poll = connection
        self._brpop_sent_at = time.monotonic()
        self._enter(phase)
        connection.send_packed_command(connection.pack_commands(commands))

    def _enter(self, phase: _Phase) -> None:
        self._phase, self._phase_since = phase, time.monotonic()

    def _brpop_read(self, **_: Any) -> Any:
        connection = self.client.connection
        try:
            taken = self._read(connection)
        except (redis.ResponseError, *self.connection_errors) as error:
            connection.disconnect()
            if isinstance(error, redis.ResponseError):
                # A replica since a failover, or a user without the right to: connect anew.
                log.error("Redis hands out no message: %s", error)
                raise redis.ConnectionError(str(error)) from error
            raise
        if taken is None:
            raise Empty
        self._in_poll = None
        self._enter(_Phase.IDLE)
        self._flush_brpop_reauth()
        return self._deliver(*taken)

    def _read(self, connection: Any) -> tuple[str, bytes] | None:
        """Take in what has come; the list and the message where it is one."""
        match self._phase:
            case _Phase.ASKED:
                if self._tracked:
                    connection.read_response()
                    self._tracked = False
                answer = connection.read_response()
                self._ended = set()
                if answer is not None:
                    return answer[0].decode(), answer[1]
                if not self._closing:
                    self._arm()
            case _Phase.ARMING:
                connection.read_response()
                self._tracked = True
                if connection.read_response():
                    self._ask()
                    return None
                self._enter(_Phase.LISTENING)
                self._brpop_sent_at = None  # nothing is overdue
                # Word of a change may have come with the answer, and wakes nobody any more.
                if connection.can_read(timeout=0):
                    self._ask()
            case _Phase.LISTENING:
                connection.read_response(push_request=True)
                self._ask()
            case _Phase.IDLE:
                raise redis.ConnectionError("an answer that nobody asked for")
        return None

    def _deliver(self, waiting: str, raw: bytes) -> bool:
        tag, queue = self._tag, keys.queue_of(waiting)
        self._queue_cycle.rotate(queue)
        try:
            message = loads(raw.decode())
            if size_of(message["headers"]):
                message = as_message(message)
            message = unpack(message, self.max_message_bytes)
            envelope.bound(message)
            message["properties"]["delivery_tag"] = tag
            self.connection._deliver(message, queue)
        except REDIS_ERRORS:
            raise
        except Exception as error:
            log.exception("refused, no message at all: %s: %s", names_in(raw), excerpt_of(raw))
            self._refuse(tag, error)
            raise Empty from None
        if queue in self._no_ack:
            # Nobody will acknowledge it: an answer to a remote command.
            with self.conn_or_acquire() as client:
                client.hdel(self.unacked_key, tag)
        return True

    def _refuse(self, tag: str, error: Exception) -> None:
        with self.conn_or_acquire() as client:
            refuse(client, self.unacked_key, tag, f"{type(error).__name__}: {error}")

    def _on_connection_disconnect(self, connection: Any) -> None:
        if self._in_poll is connection:
            if self._phase is _Phase.ASKED:
                self._unanswered.append(self._tag)
                self.qos.ended |= self._ended
            self._enter(_Phase.IDLE)
            self._tracked = False
        super()._on_connection_disconnect(connection)

    def _recover_unanswered(self) -> None:
        """Give back what Redis may have handed over a connection that was lost before it came."""
        while self._unanswered:
            with self.conn_or_acquire() as client:
                give_back(client, self.unacked_key, self._unanswered[-1])
            self._unanswered.pop()


def _named(headers: Any) -> str:
    """Name a message for the log, without its body, which may hold an image."""
    found = headers if isinstance(headers, dict) else {}
    return beginning(f"task {found.get('task')}, id {found.get('id')}")
