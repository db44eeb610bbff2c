"""kombu's Redis transport, changed to keep jobs in order of virtual time instead of in lists."""

import logging
from collections.abc import Mapping
from functools import cache
from queue import Empty
from typing import Any

import kombu
import kombu.transport.redis as kombu_redis
import redis
from kombu.connection import ConnectionPool
from kombu.utils.collections import HashedSeq
from kombu.utils.json import dumps

from agewell.shared.celery.enqueue_time import StampingAMQP
from agewell.shared.errors import MessageTooLargeError
from agewell.shared.protocol import envelope
from agewell.shared.queue.ledger import Lifetimes
from agewell.shared.queue.publish import ORDERED, PUBLISH, is_ordered, op_of, publish_command
from agewell.shared.queue.purge import purge
from agewell.shared.redis import keys
from agewell.shared.redis.clock import RedisClock
from agewell.shared.redis.connection import REDIS_ERRORS, is_full
from agewell.shared.redis.packing import PACKER
from agewell.shared.redis.scripts import Script
from agewell.shared.settings import DEFAULT_K_PER_S, MAX_DELIVERIES, MAX_MESSAGE_BYTES, RESULT_TTL_S
from agewell.shared.text.urls import without_password

log = logging.getLogger(__name__)

_BIND = Script("bind")


class Channel(kombu_redis.Channel):  # type: ignore[misc]
    """kombu's channel, changed to publish a job as a record with a place in its queue's order."""

    max_message_bytes = MAX_MESSAGE_BYTES
    """The largest message of a job."""
    aging_k: Mapping[str, float] = {}
    """k of each queue, per second, for queues whose k is not in Redis."""
    lifetimes_s = (RESULT_TTL_S, RESULT_TTL_S)
    """Seconds to keep the records of done jobs, and of jobs that ended in another state."""
    max_deliveries = MAX_DELIVERIES
    """The number of lost deliveries after which agewell gives up on a job."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._clock = RedisClock()
        self._unprefixed: redis.Redis | None = None

    def unprefixed_client(self) -> redis.Redis:
        """Return a client for agewell's keys. kombu's client may add a global_keyprefix to keys."""
        pool, client = self.pool, self._unprefixed
        # Creating a client takes longer than a round trip. A fork or a close replaces the pool.
        if client is None or client.connection_pool is not pool:
            client = self._unprefixed = redis.Redis(connection_pool=pool)
        return client

    @property
    def lifetimes(self) -> Lifetimes:
        """Seconds to keep records, as the ledger needs them."""
        return Lifetimes(*self.lifetimes_s)

    def create_publish_batch(self, max_size: int) -> Any:
        """Return kombu's batch of messages, after making sure that Redis has the script for it."""
        with self.conn_or_acquire() as client:
            PUBLISH(client, [])
        return super().create_publish_batch(max_size)

    def _connparams(self, asynchronous: bool = False) -> Any:
        # kombu closes the channels of a lost connection, and may still use one for an attempt. As
        # a connection error it is tried again, with a new channel.
        if self.connection is None:
            raise redis.ConnectionError("the channel was closed when its connection was lost")
        return super()._connparams(asynchronous=asynchronous) | {"command_packer": PACKER}

    def _size(self, queue: str) -> int:
        # kombu uses a transaction, which a full Redis refuses.
        with self.conn_or_acquire() as client, client.pipeline(transaction=False) as pipe:
            for priority in self.priority_steps:
                pipe.llen(self._q_for_pri(queue, priority))
            if queue in ORDERED:
                pipe.zcard(keys.order(queue))
                pipe.zcard(keys.scheduled(queue))
            return sum(pipe.execute())

    def _purge(self, queue: str) -> int:
        """Empty a queue. Its jobs end as cancelled."""
        if queue not in ORDERED:
            return int(super()._purge(queue))
        client = self.unprefixed_client()
        now = self._clock.now(client)
        return purge(client, queue, self.lifetimes, self.max_message_bytes, now)

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        # If Redis is full, a starting worker must still bind: only workers make room.
        try:
            super()._queue_bind(exchange, routing_key, pattern, queue)
        except redis.ResponseError as error:
            if not is_full(error):
                raise
            names = [self.keyprefix_queue % exchange]
            if queue not in self._expires:
                names.append(self.keyprefix_binding_permanent % exchange)
            bound = self.sep.join((routing_key or "", pattern or "", queue or ""))
            prefixed = [f"{self.global_keyprefix}{name}" for name in names]
            _BIND(self.unprefixed_client(), prefixed, [bound])

    def _receive_one(self, subscribed: Any) -> Any:
        # Anybody may publish anything on the channels of events and commands.
        try:
            return super()._receive_one(subscribed)
        except (Empty, *REDIS_ERRORS):
            raise
        except Exception:
            log.exception("ignored a message that is neither an event nor a command of Celery's")
            return None

    def _delete(self, queue: str, *bound: Any, **options: Any) -> None:
        try:
            super()._delete(queue, *bound, **options)
        except redis.ResponseError as error:
            if not is_full(error):
                raise
            with self.conn_or_acquire(client=options.get("client")) as client:
                client.delete(*(self._q_for_pri(queue, each) for each in self.priority_steps))

    def _put(self, queue: str, message: dict[str, Any], **options: Any) -> None:
        envelope.bound(message)
        if not is_ordered(queue, message):
            super()._put(queue, message, **options)
            return
        raw = dumps(message)
        if op_of(message) and len(raw) > self.max_message_bytes:
            raise MessageTooLargeError(len(raw), self.max_message_bytes)
        client = self.unprefixed_client()
        now, k_per_s = self._clock.now(client), self.aging_k.get(queue, DEFAULT_K_PER_S)
        command = publish_command(queue, message, raw, now, k_per_s)
        batch = options.get("_publish_batch")
        # With a global_keyprefix, the batch's pipeline would add the prefix to our first key.
        if batch is not None and not self.global_keyprefix:
            batch.add("execute_command", *command)
            return
        PUBLISH.run(client, command)


class Connection(kombu.Connection):  # type: ignore[misc]
    """A kombu connection that uses agewell's channel."""

    channel_class: type[Channel] = Channel

    def Pool(self, limit: int | None = None, **options: Any) -> "Pool":  # noqa: N802 - kombu's
        """Return a pool of connections that use the same channel."""
        return Pool(self, limit, **options)

    def get_transport_cls(self) -> type[kombu_redis.Transport]:
        """Return the transport of the URL, plain or Sentinel's, with agewell's channel."""
        plain: Any = super().get_transport_cls()
        channel: Any = self.channel_class
        return _with_channel(plain, channel)

    def info(self) -> dict[str, Any]:
        """Describe the connection for `celery inspect stats` and Flower, without passwords."""
        found: dict[str, Any] = super().info()
        found["hostname"] = found["hostname"] and without_password(found["hostname"])
        found["alternates"] = [without_password(each) for each in found["alternates"]]
        return found

    def __eqhash__(self) -> HashedSeq:
        # kombu shares pools in a process, and a plain connection to the same Redis differs.
        return HashedSeq(type(self), *super().__eqhash__())


class Pool(ConnectionPool):  # type: ignore[misc]
    """kombu's pool, changed so that its connections use agewell's channel."""

    def new(self) -> kombu.Connection:
        """Return a new connection."""
        pooled = super().new()
        pooled.transport_cls = self.connection.get_transport_cls()
        return pooled


class AMQP(StampingAMQP):
    """The AMQP class of the producers' app, which publishes by `Connection`."""

    Connection = Connection


@cache
def _with_channel(
    transport: type[kombu_redis.Transport], channel: type[Channel]
) -> type[kombu_redis.Transport]:
    combined: Any = type("Channel", (channel, transport.Channel), {})
    combined.from_transport_options = (
        *transport.Channel.from_transport_options,
        "max_message_bytes",
        "aging_k",
        "lifetimes_s",
        "max_deliveries",
    )
    return type(transport.__name__, (transport,), {"Channel": combined})
