"""The workers' end of the queue, made to bear what may lie in it.

kombu takes every message for one of Celery's. One that is not, whoever put it there, would end the
worker, be restored, and end the next one; for ever, with everything behind it.
"""

import logging
from collections.abc import Callable
from queue import Empty
from typing import Any

import kombu.transport.redis as kombu_redis
import redis

log = logging.getLogger(__name__)

PASSING = (redis.RedisError, OSError)
"""What a lost connection raises. Not kombu's own list: that counts a missing key among them."""


class _QoS(kombu_redis.QoS):  # type: ignore[misc]
    """Reserved messages that return to the head of their list.

    kombu returns a rejected one, such as that of a killed pool process, to the tail. It was taken
    first because it was due first, so it must be due first again.
    """

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:
        del leftmost  # kombu pushes left and pops right: leftmost would be the tail
        super().restore_by_tag(tag, client=client, leftmost=False)


class Channel(kombu_redis.Channel):  # type: ignore[misc]
    """kombu's channel, less its trust."""

    QoS = _QoS

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
            except PASSING:
                raise
            except Exception:
                log.exception("refused, no task of Celery's: %.200r", message.body)
                message.reject()

        return super().basic_consume(queue, no_ack, guarded, consumer_tag, **kwargs)

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except (Empty, *PASSING):
            raise
        except Exception:
            log.exception("dropped, no message at all")
            raise Empty from None


def install() -> None:
    """Have every Redis connection of this process use this channel."""
    kombu_redis.Transport.Channel = Channel
