"""The headers with each message's enqueue time, from which its aging counts, and with its tenant.

The time is by Redis's clock, because senders' clocks differ. A retry and the next step of a chain
keep the time of the first message, because they have waited since then, and its tenant.
"""

from collections.abc import Callable
from typing import Any

from celery import current_task
from celery.app.amqp import AMQP

from agewell.shared.protocol.envelope import ENQUEUED_AT, TENANT, time_of
from agewell.shared.protocol.levels import DEFAULT_LEVEL
from agewell.shared.protocol.tenants import tenant_of
from agewell.shared.redis.clock import RedisClock


class StampingAMQP(AMQP):  # type: ignore[misc]
    """Celery's AMQP class, changed to add the enqueue time and a priority to each message.

    It is not a signal handler, because those run for the messages of every app in the process.
    """

    def _create_task_sender(self) -> Callable[..., Any]:
        send = super()._create_task_sender()
        clock = RedisClock()

        def send_stamped(producer: Any, name: str, message: Any, **options: Any) -> Any:
            if options.get("priority") is None:
                # Celery applies task_default_priority in apply_async, but not in send_task.
                options["priority"] = DEFAULT_LEVEL
            given = options.get("headers") or {}
            if time_of(given.get(ENQUEUED_AT, message.headers.get(ENQUEUED_AT))) is None:
                options["headers"] = {k: v for k, v in given.items() if k != ENQUEUED_AT}
                inherited = enqueued_at(current_task.request) if current_task else None
                message.headers[ENQUEUED_AT] = (
                    clock.now(producer.channel.client) if inherited is None else inherited
                )
            if current_task and not (options.get("headers") or {}).get(TENANT):
                inherited_tenant = tenant_of((current_task.request.headers or {}).get(TENANT))
                if inherited_tenant:
                    message.headers.setdefault(TENANT, inherited_tenant)
            return send(producer, name, message, **options)

        return send_stamped


def enqueued_at(request: Any) -> float | None:
    """Return when the job of a task's request was enqueued, in Unix seconds, or None."""
    return time_of((request.headers or {}).get(ENQUEUED_AT))
