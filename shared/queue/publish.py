"""Publishing a message, which writes the job's record and its place in the order in one script."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from agewell.shared.protocol import envelope
from agewell.shared.protocol.tasks import Queue, op_of_task
from agewell.shared.protocol.tenants import tenant_of
from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from agewell.shared.redis.scripts import Argument, Script

PUBLISH = Script("publish")
ORDERED = frozenset(queue.value for queue in Queue)
"""The queues with an order. Messages of other queues stay in kombu's lists."""


def op_of(message: Mapping[str, Any]) -> str | None:
    """Return the operation of a message's task, or None if the task is not an operation."""
    headers = message.get("headers") or {}
    return op_of_task(headers.get("task")) if headers.get("id") else None


def is_ordered(queue: str, message: Mapping[str, Any]) -> bool:
    """Return True if a message gets a place in its queue's order when it is published."""
    headers = message.get("headers") or {}
    named = (headers.get("id"), headers.get("task"))
    return queue in ORDERED and all(isinstance(each, str) and each for each in named)


def publish_command(
    queue: str, message: Mapping[str, Any], raw: str, now: float, k_per_s: float
) -> tuple[Argument, ...]:
    """Return the command that publishes a message.

    Args:
        queue: a queue of `ORDERED`.
        message: kombu's message, with its numbers bounded.
        raw: the same message as JSON.
        now: Unix time in seconds, by Redis's clock.
        k_per_s: k of the queue, per second, in case Redis has none.
    """
    headers = message["headers"]
    op = op_of(message) or ""
    due_at = due_at_of(headers)
    return PUBLISH.command(
        [
            keys.job(headers["id"]),
            keys.order(queue),
            keys.scheduled(queue),
            keys.idle(queue),
            keys.jobs(State.WAITING),
            keys.jobs(State.RUNNING),
            keys.DEADLINES,
            keys.SEQUENCE,
            keys.AGING_K,
        ],
        [
            now,
            headers["id"],
            raw,
            op,
            queue,
            message["properties"].get("priority") or 0,
            headers.get(envelope.ITEMS) or 0,
            _known(headers.get(envelope.ENQUEUED_AT)),
            _known(due_at),
            _known(headers.get(envelope.DEADLINE_AT)) if op else "",
            headers.get("retries") or 0,
            int(isinstance(headers.get("group"), str) and headers["group"] != ""),
            k_per_s,
            tenant_of(headers.get(envelope.TENANT)) or "",
            _known(headers.get(envelope.WANTED_BY)) if op else "",
            int(not op or bool(headers.get("parent_id") or headers.get("retries"))),
        ],
    )


def _known(time_s: float | None) -> float | str:
    return "" if time_s is None else time_s


def due_at_of(headers: Mapping[str, Any]) -> float | None:
    """Return the eta of a message in Unix seconds, or None if its job may start at once."""
    try:
        eta = datetime.fromisoformat(headers["eta"])
    except (KeyError, TypeError, ValueError):
        return None
    return envelope.time_of((eta if eta.tzinfo else eta.replace(tzinfo=UTC)).timestamp())
