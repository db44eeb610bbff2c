"""Where a job goes that comes back: to the head of its list, not behind all that came after it.

kombu returns a rejected message, such as that of a killed pool process, to the tail. It was taken
first because it was due first, so it must be due first again.
"""

from functools import partial
from typing import Any

from celery import Celery, bootsteps
from celery.worker.consumer.tasks import Tasks


class ReturnToHead(bootsteps.StartStopStep):  # type: ignore[misc]
    """Has the consumer's channel restore every message to the head, whoever asks for it."""

    requires = (Tasks,)

    def start(self, consumer: Any) -> None:
        """Patch this channel; a reconnected consumer has a new one, and starts its steps anew."""
        qos = consumer.task_consumer.channel.qos
        restore = qos.restore_by_tag
        qos.restore_by_tag = partial(_restore_to_head, restore)


def _restore_to_head(restore: Any, tag: str, client: Any = None, leftmost: bool = False) -> None:
    del leftmost  # kombu pushes left and pops right: leftmost would be the tail
    restore(tag, client=client, leftmost=False)


def install(app: Celery) -> None:
    """Have the workers of an app return messages to the head."""
    app.steps["consumer"].add(ReturnToHead)
