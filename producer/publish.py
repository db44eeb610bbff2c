"""Jobs onto the queue, many in one pipeline."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import kombu.exceptions

from producer.session import Session
from shared.ledger import ITEMS_HEADER
from shared.messages import Job
from shared.names import QUEUE_OF_OP, TASK_OF_OP
from shared.redis_client import REDIS_ERRORS, unreachable
from shared.stamp import HEADER


@dataclass(frozen=True)
class Sent:
    """A job that has been published."""

    job_id: str
    items: int


def publish(session: Session, jobs: Sequence[Job], level: int) -> list[Sent]:
    """Send jobs with a priority level; their ids, in order.

    Raises:
        BrokerUnreachableError: Redis does not answer.
    """
    sent = [Sent(str(uuid.uuid4()), len(job.items)) for job in jobs]
    try:
        enqueued_at = session.now()
        with session.app.producer_pool.acquire(block=True) as producer, producer.batch():
            for s, job in zip(sent, jobs, strict=True):
                _send(session, producer, s.job_id, job, level, enqueued_at)
    except (*REDIS_ERRORS, kombu.exceptions.KombuError) as error:
        raise unreachable(session.settings, error) from error
    return sent


def _send(
    session: Session, producer: Any, job_id: str, job: Job, level: int, enqueued_at: float
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
        headers={HEADER: enqueued_at, ITEMS_HEADER: len(job.items)},
    )


def summary(job: Job, level: int) -> str:
    """A job in a few words, for Flower and the logs in place of its whole document."""
    first = next(iter(job.items[0].model_dump().values()))["name"]
    more = f" and {len(job.items) - 1} more" if len(job.items) > 1 else ""
    return f"{job.op}: {first}{more}, level {level}"
