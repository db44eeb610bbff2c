"""Jobs onto the queue, many in one pipeline."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import kombu.exceptions

from producer.session import Session
from shared.durations import LONGEST_S
from shared.envelope import DEADLINE_AT, ENQUEUED_AT, ITEMS
from shared.errors import MessageTooLargeError, ParameterError
from shared.messages import Job
from shared.names import QUEUE_OF_OP, TASK_OF_OP
from shared.redis_client import REDIS_ERRORS, unreachable


@dataclass(frozen=True)
class Sent:
    """A job that has been published."""

    job_id: str
    items: int


def publish(
    session: Session, jobs: Sequence[Job], level: int, deadline_s: float | None = None
) -> list[Sent]:
    """Send jobs with a priority level; their ids, in order.

    Args:
        session: whom to send them to.
        jobs: what to send.
        level: 0, the most urgent, to 9.
        deadline_s: a job that has not started within so many seconds expires.

    Raises:
        MessageTooLargeError: one of the jobs has more bytes than may be; none is sent.
        ParameterError: the deadline is no time that a job can be given.
        BrokerUnreachableError: Redis does not answer.
    """
    if deadline_s is not None and not 0 <= deadline_s <= LONGEST_S:
        raise ParameterError("deadline_s", repr(deadline_s), "seconds, up to a hundred years")
    limit = session.settings.max_message_bytes
    for job in jobs:
        check_size(job, limit)  # before any of them is sent
    sent = [Sent(str(uuid.uuid4()), len(job.items)) for job in jobs]
    try:
        headers: dict[str, Any] = {ENQUEUED_AT: session.now()}
        if deadline_s is not None:
            headers[DEADLINE_AT] = headers[ENQUEUED_AT] + deadline_s
        with session.app.producer_pool.acquire(block=True) as producer, producer.batch():
            for s, job in zip(sent, jobs, strict=True):
                _send(session, producer, s.job_id, job, level, headers)
    except (*REDIS_ERRORS, kombu.exceptions.KombuError) as error:
        raise unreachable(session.settings, error) from error
    return sent


def check_size(job: Job, limit_bytes: int) -> None:
    """See that a job fits into a message; what rides in its references alone can be too large.

    Raises:
        MessageTooLargeError: it does not.
    """
    document = job.model_dump_json(exclude_none=True)
    size_bytes = len(document) * 4 // 3  # in base64
    if size_bytes > limit_bytes:
        raise MessageTooLargeError(size_bytes, limit_bytes)


def _send(
    session: Session, producer: Any, job_id: str, job: Job, level: int, headers: dict[str, Any]
) -> None:
    """Publish as `send_task` does, less its subscription to each result: we poll instead."""
    task = TASK_OF_OP[job.op].value
    document = job.model_dump(mode="json", exclude_none=True)
    in_words = summary(job, level)
    message = session.app.amqp.as_task_v2(job_id, task, args=[document], argsrepr=in_words)
    session.app.amqp.send_task_message(
        producer,
        task,
        message,
        queue=QUEUE_OF_OP[job.op].value,
        priority=level,
        headers=headers | {ITEMS: len(job.items)},
    )


def summary(job: Job, level: int) -> str:
    """A job in a few words, for Flower and the logs in place of its whole document."""
    first = next(iter(job.items[0].model_dump().values()))["name"]
    more = f" and {len(job.items) - 1} more" if len(job.items) > 1 else ""
    return f"{job.op}: {first}{more}, level {level}"
