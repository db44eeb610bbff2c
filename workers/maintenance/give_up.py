"""Jobs and messages that agewell gives up on become dead letters."""

import json
import logging
from typing import Any, cast

import redis
from celery import Celery

from shared import envelope, keys, oversize
from shared.errors import DeadJobError
from shared.names import OP_OF_TASK
from shared.queue.dead_letters import DeadLetters
from shared.queue.letter import excerpt_of
from shared.queue.record import State
from shared.queue.request import signature_of

log = logging.getLogger(__name__)

MESSAGES_A_TICK = 200
TOO_LARGE = "too large"


def give_up_lost_jobs(app: Celery, client: redis.Redis, max_deliveries: int) -> int:
    """Make dead letters of jobs that took their workers down too often; how many."""
    given_up = 0
    for member in cast("set[bytes]", client.smembers(keys.GIVEN_UP)):
        job_id = member.decode()
        reason = f"its worker ended {max_deliveries} times while it ran"
        given_up += _give_up(app, client, job_id, reason)
        client.srem(keys.GIVEN_UP, job_id)
    return given_up


def _give_up(app: Celery, client: redis.Redis, job_id: str, reason: str) -> bool:
    fields = ("message", "level", "queue", "history")
    found = cast("list[bytes | None]", client.hmget(keys.job(job_id), fields))
    raw, level, queue, history = found
    job = None if raw is None else signature_of(app, raw)
    if raw is not None and job is not None:
        DeadLetters(client).keep_job(
            job_id,
            queue=(queue or b"").decode(),
            job=job,
            level=envelope.level_of((level or b"0").decode()),
            reason=reason,
            history=(history or b"").decode(),
        )
    elif raw is not None:
        DeadLetters(client).keep_message(job_id, (queue or b"").decode(), raw, reason)
    ended: bool = app.backend.end_open(job_id, DeadJobError(reason), State.RUNNING)
    return ended


def give_up_refused_messages(app: Celery, client: redis.Redis, max_bytes: int) -> int:
    """Make dead letters of plain clients' messages that cannot be read; how many."""
    for count in range(MESSAGES_A_TICK):
        found = cast("list[bytes]", client.lrange(keys.REFUSED, -1, -1))
        if not found:
            return count
        _keep_refused(app, client, found[0], max_bytes)
        client.lrem(keys.REFUSED, -1, found[0])  # type: ignore[arg-type]
    return MESSAGES_A_TICK


def _keep_refused(app: Celery, client: redis.Redis, entry: bytes, max_bytes: int) -> None:
    about, _, raw = entry.partition(b"\n")
    found = json.loads(about)
    queue, size = str(found["queue"]), int(found["size"])
    log.error("refused, %s: %d bytes in %s: %s", found["reason"], size, queue, excerpt_of(raw))
    message = _job_of_large(found) if found["reason"] == TOO_LARGE else None
    letters = DeadLetters(client)
    if message is None:
        letter_id = f"message-{found['number']}"
        letters.keep_message(letter_id, queue, raw, str(found["reason"]), size)
        return
    headers = message["headers"]
    reason = f"its message has {size:,} bytes; AGEWELL_MAX_MESSAGE_BYTES is {max_bytes:,}"
    level = envelope.level_of(message["properties"].get("priority"))
    head = raw[: len(found["head"])]
    letters.keep_unread(headers["id"], queue, headers["task"], level, head, size, reason)
    app.backend.end_open(headers["id"], DeadJobError(reason), "unstarted")


def _job_of_large(found: dict[str, Any]) -> dict[str, Any] | None:
    """What the ends of a message that is too large say of its job; None if it is no job of ours."""
    headers = {oversize.SIZE: found["size"], oversize.HEAD: found["head"]}
    try:
        message = oversize.as_message({"headers": headers | {oversize.TAIL: found["tail"]}})
    except ValueError:
        return None
    return message if message["headers"]["task"] in OP_OF_TASK else None
