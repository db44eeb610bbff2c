"""Messages that workers have taken and not acknowledged: given back, or given up.

A run of a worker keeps them in one hash: a tag, and under it the list that the message came from, a
newline, and the message as it was.
"""

import json
import logging
from typing import Any, cast

import redis
from celery.worker import state as worker_state

from shared import keys
from shared.dead_letters import DeadLetters
from shared.entry import State
from shared.scripts import script

log = logging.getLogger(__name__)


def give_back(client: redis.Redis, reserved: str, tag: str) -> bool:
    """Put a message back at the head of the list of its given level; False where it is not held.

    Args:
        client: the broker's Redis.
        reserved: the hash of what a run has reserved.
        tag: of the message.
    """
    entry = cast("bytes | None", client.hget(reserved, tag))
    if entry is None:
        return False
    waiting, raw = _parts(entry)
    message, job_id = _redelivered(raw)
    queue, level = keys.queue_of(waiting), _level(message)
    client.eval(
        script("workers", "give_back"),
        5,
        reserved,
        waiting if level is None else keys.waiting_list(queue, level),
        keys.job(job_id),
        keys.jobs(State.RUNNING),
        keys.jobs(State.WAITING),
        tag,
        raw if message is None else json.dumps(message),
        job_id,
        # Set once this worker has been asked to stop.
        int(worker_state.should_stop is not None or worker_state.should_terminate is not None),
    )
    return True


def refuse(client: redis.Redis, reserved: str, tag: str, reason: str) -> None:
    """Put a message that is no task among the dead letters."""
    entry = cast("bytes | None", client.hget(reserved, tag))
    if entry is not None:
        waiting, raw = _parts(entry)
        DeadLetters(client).keep_message(tag, keys.queue_of(waiting), raw, reason)
        client.hdel(reserved, tag)


def _parts(entry: bytes) -> tuple[str, bytes]:
    waiting, _, raw = entry.partition(b"\n")
    return waiting.decode(), raw


def _redelivered(raw: bytes) -> tuple[dict[str, Any] | None, str]:
    """The message, marked as one that comes again, and its job's id; None where it is none."""
    try:
        message = json.loads(raw)
        message["headers"]["redelivered"] = True
        message["properties"]["delivery_info"]["redelivered"] = True
        return message, str(message["headers"].get("id"))
    except (ValueError, TypeError, KeyError):
        return None, ""


def _level(message: dict[str, Any] | None) -> int | None:
    """The level that a message was given, 0 where it has none: as kombu reads it."""
    if message is None:
        return None
    priority = message["properties"].get("priority")
    return min(max(priority, 0), 9) if isinstance(priority, int) else 0
