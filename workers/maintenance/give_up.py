"""Gives up jobs that take their workers down and messages that cannot be read: dead letters."""

import json
import logging
from typing import Any, cast

import redis
from celery import Celery, states

from agewell.shared.errors import DeadJobError
from agewell.shared.protocol import envelope
from agewell.shared.protocol.tasks import op_of_task
from agewell.shared.queue.dead_letters import DeadLetters
from agewell.shared.queue.documents import document_of
from agewell.shared.queue.ledger import End
from agewell.shared.queue.letter import excerpt_of
from agewell.shared.queue.oversize import named_in
from agewell.shared.queue.record import State
from agewell.shared.queue.request import request_of, signature_of
from agewell.shared.redis import keys
from agewell.shared.redis.clock import redis_now
from agewell.shared.redis.connection import REDIS_ERRORS

log = logging.getLogger(__name__)

MESSAGES_A_TICK = 200
"""A tick handles at most this many messages. The next tick continues."""
TOO_LARGE = "too large"
"""The reason for which the Lua scripts refuse a message that is too large."""


def give_up_lost_jobs(app: Celery, client: redis.Redis, max_deliveries: int) -> int:
    """Make dead letters of jobs that took their workers down too often. Returns how many."""
    reason = f"its worker ended {max_deliveries} times while it ran"
    members = cast("set[bytes]", client.smembers(keys.GIVEN_UP))
    return sum(_give_up(app, client, member.decode(), reason) for member in members)


def _give_up(app: Any, client: redis.Redis, job_id: str, reason: str) -> bool:
    """End a job as dead, run its errbacks, fail its chord, and keep its dead letter.

    The record keeps the message until the dead letter has it. If upkeep is killed in between, the
    next tick continues.
    """
    fields = ("state", "message", "level", "queue", "history")
    found = cast("list[bytes | None]", client.hmget(keys.job(job_id), fields))
    state, raw, level, queue, history = found
    error = DeadJobError(reason)
    if raw is None or not _end_as_dead(app, client, job_id, state, error):
        client.srem(keys.GIVEN_UP, job_id)
        return False
    job = signature_of(app, raw)
    _notify_followers(app, job_id, raw, error)
    log.error("job %s given up: %s", job_id, reason)
    letters, queue_name = DeadLetters(client), (queue or b"").decode()
    if job is None:
        letters.keep_message(job_id, queue_name, raw, reason)
    else:
        letters.keep_job(
            job_id,
            queue=queue_name,
            job=job,
            level=envelope.level_of((level or b"0").decode()),
            reason=reason,
            history=(history or b"").decode(),
        )
    return True


def _notify_followers(app: Any, job_id: str, raw: bytes, error: DeadJobError) -> None:
    """Call the errbacks of a dead job, and fail its chord. They may fail, but Redis may not."""
    request = request_of(raw)
    if request is None:
        return
    try:
        app.backend.notify_followers(request, states.FAILURE, error)
    except REDIS_ERRORS:
        raise
    except Exception:
        log.exception("job %s: its errbacks or its chord could not be called", job_id)


def _end_as_dead(
    app: Any, client: redis.Redis, job_id: str, state: bytes | None, error: DeadJobError
) -> bool:
    """End a running job as dead. True if it is dead now."""
    if state == State.RUNNING.encode():
        end = End(
            job_id=job_id,
            state=State.DEAD,
            error=str(error),
            only_from=State.RUNNING,
            is_counted=True,
        )
        ended: bool = app.backend.ledger.end(end, document_of(job_id, error, redis_now(client)))
        return ended
    return state == State.DEAD.encode()


def give_up_refused_messages(app: Celery, client: redis.Redis, max_bytes: int) -> int:
    """Make dead letters of messages from plain clients that cannot be read. Returns how many."""
    for count in range(MESSAGES_A_TICK):
        found = cast("list[bytes]", client.lrange(keys.REFUSED, -1, -1))
        if not found:
            return count
        _keep_refused(app, client, found[0], max_bytes)
        client.lrem(keys.REFUSED, -1, found[0])  # type: ignore[arg-type]
    return MESSAGES_A_TICK


def _keep_refused(app: Any, client: redis.Redis, entry: bytes, max_bytes: int) -> None:
    about, _, raw = entry.partition(b"\n")
    found = json.loads(about)
    queue, size = str(found["queue"]), int(found["size"])
    cause, text = found["reason"], excerpt_of(raw)
    log.error("message refused in queue %s, %s: %d bytes: %s", queue, cause, size, text)
    named = named_in(found["head"], found["tail"]) if cause == TOO_LARGE else None
    letters = DeadLetters(client)
    op = op_of_task(named[0]["task"]) if named else None
    if named is None or op is None:
        letter_id = f"message-{found['number']}"
        letters.keep_message(letter_id, queue, raw, str(cause), size)
        return
    headers, properties = named
    job_id, task = headers["id"], headers["task"]
    reason = f"its message has {size:,} bytes; AGEWELL_MAX_MESSAGE_BYTES is {max_bytes:,}"
    _end_unstarted_as_dead(app, client, job_id, op, DeadJobError(reason))
    level = envelope.level_of(properties.get("priority"))
    head = raw[: len(found["head"])]
    letters.keep_unread(job_id, queue, task, level, head, size, reason)


def _end_unstarted_as_dead(
    app: Any, client: redis.Redis, job_id: str, op: str, error: DeadJobError
) -> None:
    end = End(
        job_id=job_id,
        state=State.DEAD,
        op=op,
        error=str(error),
        only_from="unstarted",
    )
    app.backend.ledger.end(end, document_of(job_id, error, redis_now(client)))
