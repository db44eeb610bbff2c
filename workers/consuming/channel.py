"""The workers' kombu channel, which takes jobs without losing any.

kombu pops a message, and only its next command records that it has the message. A worker that is
killed between the two loses it. Here one Lua script does both. A worker that finds no job blocks on
its own wake-up list. Publishing pushes to one of these lists, so one job wakes one worker.

A worker that has finished a job takes the next one at once, so the same script also ends and
acknowledges the finished job.
"""

import contextlib
import logging
from collections.abc import Callable
from functools import cache
from queue import Empty
from time import monotonic
from typing import Any

import redis

from agewell.shared.celery import transport
from agewell.shared.queue.ledger import Ledger
from agewell.shared.redis.connection import REDIS_ERRORS
from agewell.shared.redis.scripts import Prepared, load_all
from agewell.workers.consuming.message import describe
from agewell.workers.consuming.pending_ends import EndArguments, pending_ends
from agewell.workers.consuming.refusal import message_or_refuse, refuse, refuse_on_error
from agewell.workers.consuming.take import (
    TAKE,
    Taken,
    delivery_tags,
    forget_idle,
    prepare_take,
    take_arguments,
    wait_command,
)
from agewell.workers.consuming.take_cycle import PendingTake, TakeCycle
from agewell.workers.consuming.unacked import QoS, acknowledge

log = logging.getLogger(__name__)


class Channel(transport.Channel):
    """kombu's channel for a worker."""

    QoS = QoS

    def __init__(self, *args: Any, **options: Any) -> None:
        self._take_cycle = TakeCycle()
        self._no_ack = set[str]()
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
        if no_ack:
            self._no_ack.add(queue)
        return super().basic_consume(
            queue, no_ack, refuse_on_error(self, callback), consumer_tag, **kwargs
        )

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
        soon = not self._take_cycle.is_blocked and self.active_queues
        return bool(soon and self.qos.can_consume())

    def end(self, told: EndArguments) -> None:
        """End a finished job at once."""
        Ledger(self.unprefixed_client(), self.lifetimes, self._clock).write(told)

    def refuse(self, tag: str, reason: str | Exception) -> None:
        """Turn a message into a dead letter, because Celery cannot make a task of it."""
        if isinstance(reason, Exception):
            reason = f"{type(reason).__name__}: {reason}"
        refuse(self.unprefixed_client(), self.unacked_key, tag, reason, self.lifetimes)

    def close(self) -> None:
        """Close the channel. A message that is on its way is received first, then requeued."""
        if self._take_cycle.pending is None:
            self._in_poll = None
        super().close()

    def _get(self, queue: str) -> dict[str, Any]:
        """Take one message without blocking, for `basic_get`."""
        self.qos.give_back_unanswered(self._take_cycle.unanswered)
        client = self.unprefixed_client()
        while True:
            tag = next(self._tags)
            self._take_cycle.unanswered.append(tag)
            now = self._clock.now(client)
            asked = take_arguments(tag, now)
            answer = TAKE.run(client, self._prepared((queue,), waits=False).command(*asked))
            self._take_cycle.unanswered.pop()
            if answer is None:
                raise Empty
            if queue in self._expires:
                with self.conn_or_acquire() as prefixed:
                    self._maybe_update_queues_expire(prefixed, queue)
            message = message_or_refuse(self, Taken.of(answer, self.global_keyprefix), tag, now)
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
        self.qos.give_back_unanswered(self._take_cycle.unanswered)
        self._take()

    def _queues(self) -> tuple[str, ...]:
        return tuple(self._queue_cycle.consume(len(self.active_queues)))

    def _take(self) -> None:
        queues = self._queues()
        if not queues:
            return
        # No answer is pending on this connection, so the clock can use it.
        now = self._clock.now(self.client)
        take = PendingTake(
            next(self._tags), now, self.qos.ended.copy(), pending_ends.copy(), queues
        )
        asked = take_arguments(take.tag, now, take.acknowledged, take.ends.values())
        packed = self._prepared(queues).packed(*asked)
        self.qos.ended -= take.acknowledged  # in place: a thread can add to it at the same time
        for job_id in take.ends:
            del pending_ends[job_id]
        self._take_cycle.send(take)
        self._send(packed)

    def _prepare(self, queues: tuple[str, ...], *, waits: bool = True) -> Prepared:
        prefix, reserved, most = self.global_keyprefix, self.unacked_key, self.max_message_bytes
        return prepare_take(queues, prefix, reserved, most, self.aging_k, waits=waits)

    def _block(self) -> None:
        """Block until another client pushes to this worker's wake-up list."""
        self.qos.acknowledge_ended()
        self._take_cycle.block()
        self._send(wait_command(self.active_queues, self.unacked_key))

    def _leave(self) -> None:
        """Leave the list of idle workers, so that new jobs wake other workers."""
        if self.connection is not None and self.connection.client is not None:
            forget_idle(self.unprefixed_client(), self.unacked_key)

    def _send(self, packed: bytes) -> None:
        self._in_poll = connection = self.client.connection
        self._brpop_sent_at = monotonic()
        connection.send_packed_command([packed])

    def _brpop_read(self, **_: Any) -> Any:
        connection = self.client.connection
        try:
            take, answer = self._read(connection)
        except (redis.ResponseError, *self.connection_errors) as error:
            connection.disconnect()
            if isinstance(error, redis.ResponseError):
                # After a failover this may be a replica, or the user lacks a right: reconnect.
                log.error("Redis refused to hand out a message: %s", error)
                raise redis.ConnectionError(str(error)) from error
            raise
        if self._take_cycle.is_idle:
            self._in_poll = None
            self._flush_brpop_reauth()
        if take is None or answer is None:
            raise Empty
        return self._deliver(take, Taken.of(answer, self.global_keyprefix))

    def _read(self, connection: Any) -> tuple[PendingTake | None, Any]:
        """Read an answer. Returns its take and the answer, which is None if there is no message.

        After a wake-up it sends the next take.
        """
        if self._take_cycle.is_idle:
            raise redis.ConnectionError("Redis sent an answer that no command asked for")
        try:
            answer = connection.read_response()
        except redis.exceptions.NoScriptError:
            with self.conn_or_acquire() as client:
                load_all(client)  # Redis has restarted and lost its scripts
            self._repeat(self._take_cycle.finish())
            return None, None
        take = self._take_cycle.finish()
        if take is None:
            self._take()
        elif answer is None and self.active_queues and not self._closing:
            # A starting worker consumes a reply queue before its own. Nobody wakes a worker that
            # blocks after a take of the former, because it is not idle in its own queues yet.
            (self._block if take.queues == self._queues() else self._take)()
        return take, answer

    def _deliver(self, take: PendingTake, taken: Taken) -> bool:
        tag, queue = take.tag, taken.queue
        self._queue_cycle.rotate(queue)
        message = message_or_refuse(self, taken, tag, take.sent_at)
        if message is None:
            raise Empty
        try:
            self.connection._deliver(message, queue)
        except REDIS_ERRORS:
            raise
        except Exception as error:
            log.exception(
                "message refused, kombu cannot deliver it: %s", describe(message["headers"])
            )
            self.refuse(tag, error)
            raise Empty from None
        if queue in self._no_ack:
            self.qos.ended.add(tag)
        return True

    def _on_connection_disconnect(self, connection: Any) -> None:
        if self._in_poll is connection:
            self._repeat(self._take_cycle.lose())
        super()._on_connection_disconnect(connection)

    def _repeat(self, take: PendingTake | None) -> None:
        """Keep the ends and acknowledgements of a failed take for the next one."""
        if take is not None:
            self.qos.ended |= take.acknowledged
            pending_ends.update(take.ends)
