"""A worker's connection: it publishes like a producer and consumes through the workers' channel."""

import time
from collections.abc import Callable
from typing import Any

from agewell.shared.celery import transport
from agewell.shared.redis.connection import RECONNECT_EVERY_S
from agewell.workers.consuming.channel import Channel
from agewell.workers.process.ready import notify_alive

REPORT_EVERY_S = 5.0

OnError = Callable[[BaseException, float], None]
"""Called with the error of an attempt, and the seconds until the next one."""


class Connection(transport.Connection):
    """A kombu connection that takes messages through `agewell.workers.consuming.channel`."""

    channel_class = Channel

    def ensure_connection(
        self, errback: OnError | None = None, max_retries: int | None = None, **options: Any
    ) -> Any:
        """Connect, and try again every `RECONNECT_EVERY_S` until Redis answers.

        Args:
            errback: called at the first failed attempt, and then every `REPORT_EVERY_S`. At each
                attempt the worker also shows systemd that it is alive.
            max_retries: stop after so many attempts. None: never.
            options: those of kombu's method.
        """
        often = {"interval_start": RECONNECT_EVERY_S, "interval_step": 0.0}
        report = None if errback is None else alive_and(seldom(errback))
        return super().ensure_connection(report, max_retries, **(often | options))


def seldom(report: OnError) -> OnError:
    """Let a report through at first, and then every `REPORT_EVERY_S`."""
    due_at = time.monotonic()

    def report_if_due(error: BaseException, interval_s: float) -> None:
        nonlocal due_at
        if time.monotonic() >= due_at:
            due_at = time.monotonic() + REPORT_EVERY_S
            report(error, interval_s)

    return report_if_due


def alive_and(report: OnError) -> OnError:
    """Show systemd at each report that the worker is alive."""

    def report_alive(error: BaseException, interval_s: float) -> None:
        notify_alive()
        report(error, interval_s)

    return report_alive


class WorkerAMQP(transport.AMQP):
    """Celery's `app.amqp` for a worker."""

    Connection = Connection
