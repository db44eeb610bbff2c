"""A worker's consumer that is quick to take jobs again after it lost its connection."""

import warnings
from collections.abc import Iterator
from typing import Any

from celery import Celery
from celery.exceptions import CPendingDeprecationWarning
from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.consumer.gossip import Gossip
from celery.worker.consumer.mingle import Mingle

HELLO_S = 1.0
"""How long a starting worker waits for the revoked ids of other workers, as in Celery."""

HELLO_AGAIN_S = 0.2
"""The same for a worker that reconnects. It still knows its own revoked ids. If Redis has
restarted, the others reconnect too and none answers. Otherwise they answer at once."""


class BriefMingle(Mingle):  # type: ignore[misc]
    """Celery's exchange of revoked ids, with a shorter wait after a reconnection."""

    name = Mingle.name

    def send_hello(self, c: Any) -> dict[str, Any]:
        """Ask the other workers for their revoked ids. Returns their answers by name."""
        wait_s = HELLO_S if c.restart_count == 0 else HELLO_AGAIN_S
        inspect = c.app.control.inspect(timeout=wait_s, connection=c.connection)
        replies = inspect.hello(c.hostname, list(c.controller.state.revoked)) or {}
        return {name: reply for name, reply in replies.items() if name != c.hostname}


class QuietGossip(Gossip):  # type: ignore[misc]
    """Celery's exchange of events, without its traceback for each lost connection."""

    name = Gossip.name

    def stop(self, c: Any) -> None:
        """Stop consuming events. A lost connection has already been closed with its channels."""
        if c.connection is not None:
            super().stop(c)


REPLACED = {Mingle: BriefMingle, Gossip: QuietGossip}


class Consumer(CeleryConsumer):  # type: ignore[misc]
    """Celery's consumer with the steps of this module."""

    class Blueprint(CeleryConsumer.Blueprint):  # type: ignore[misc]
        """Celery's steps in Celery's order."""

        def _finalize_steps(self, steps: Any) -> Iterator[Any]:
            # Other steps require Celery's own ones, so they are replaced after the sorting.
            return (REPLACED.get(step, step) for step in super()._finalize_steps(steps))


def install(app: Celery) -> None:
    """Let the workers of an app use this consumer."""
    # Celery would suggest at each lost connection to end the running jobs. They go on, and their
    # ends are written when Redis is back.
    warnings.filterwarnings("ignore", r"\s*In Celery 5\.1", CPendingDeprecationWarning)
    app.conf.worker_consumer = f"{Consumer.__module__}:{Consumer.__qualname__}"
