"""Publishes jobs as Celery messages, many in one pipeline."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import kombu.exceptions

from agewell.producer.sending.plan import Planned
from agewell.producer.session import Session
from agewell.shared.errors import MessageTooLargeError, ParameterError
from agewell.shared.protocol.envelope import DEADLINE_AT, ENQUEUED_AT, ITEMS, TENANT, WANTED_BY
from agewell.shared.protocol.messages import Job, PipelineJob, primary_image
from agewell.shared.protocol.tasks import queue_of, task_of
from agewell.shared.protocol.tenants import check_tenant
from agewell.shared.redis.connection import REDIS_ERRORS, unreachable
from agewell.shared.text.durations import LONGEST_S


@dataclass(frozen=True)
class Sent:
    """A job that has been published, or that is being published now."""

    job_id: str
    items: int
    planned: tuple[Planned, ...] = ()
    """The files that the items were made of. Empty if they were not made of files."""

    @classmethod
    def of(cls, job: Job, planned: Sequence[Planned] = ()) -> Self:
        """Give a job a random id."""
        return cls(str(uuid.uuid4()), len(job.items), tuple(planned))


def publish(
    session: Session,
    jobs: Iterable[Job],
    level: int,
    deadline_s: float | None = None,
    tenant: str | None = None,
    due_s: float | None = None,
) -> list[Sent]:
    """Publish jobs under new ids, in order. Arguments and errors are those of `publish_as`."""
    sent = [(Sent.of(job), job) for job in jobs]
    publish_as(session, sent, level, deadline_s, tenant, due_s)
    return [each for each, _ in sent]


def publish_as(
    session: Session,
    jobs: Sequence[tuple[Sent, Job]],
    level: int,
    deadline_s: float | None = None,
    tenant: str | None = None,
    due_s: float | None = None,
) -> None:
    """Publish jobs under ids that they have already.

    Args:
        session: the connection to use.
        jobs: the jobs and their ids.
        level: the priority level, 0 (most urgent) to 9.
        deadline_s: a job expires if it has not started this many seconds from now.
        tenant: for whom the jobs run, `tenant` or `team/user`.
        due_s: a job should be done this many seconds from now, and moves forward for it.

    Raises:
        MessageTooLargeError: one of the jobs is too large. None is sent.
        ParameterError: the deadline or the due time is negative or longer than a hundred years, or
            the tenant is not a tenant's name.
        BrokerUnreachableError: Redis does not answer.
    """
    for name, time_s in (("deadline_s", deadline_s), ("due_s", due_s)):
        is_number = isinstance(time_s, int | float)
        if time_s is not None and not (is_number and 0 <= time_s <= LONGEST_S):
            raise ParameterError(name, repr(time_s), "seconds, up to a hundred years")
    limit = session.settings.max_message_bytes
    for _, job in jobs:
        check_size(job, limit)  # before the first one is sent, so that all are sent or none
    try:
        headers: dict[str, Any] = {ENQUEUED_AT: session.now()}
        if deadline_s is not None:
            headers[DEADLINE_AT] = headers[ENQUEUED_AT] + deadline_s
        if due_s is not None:
            headers[WANTED_BY] = headers[ENQUEUED_AT] + due_s
        if tenant is not None:
            headers[TENANT] = check_tenant(tenant)
        with session.app.producer_pool.acquire(block=True) as producer, producer.batch():
            for sent, job in jobs:
                _send(session, producer, sent.job_id, job, level, headers)
    except (*REDIS_ERRORS, kombu.exceptions.KombuError) as error:
        raise unreachable(session.settings, error) from error


def check_size(job: Job, limit_bytes: int) -> None:
    """Check that a job fits into a message. Small images travel in it, inside their references.

    Raises:
        MessageTooLargeError: the message would be larger than the limit.
    """
    document = job.model_dump_json(exclude_none=True)
    size_bytes = len(document) * 4 // 3  # in base64
    if size_bytes > limit_bytes:
        raise MessageTooLargeError(size_bytes, limit_bytes)


def _send(
    session: Session, producer: Any, job_id: str, job: Job, level: int, headers: dict[str, Any]
) -> None:
    """Publish as `send_task` does, without its subscription to the result, which nobody reads."""
    task = task_of(job.op)
    document = job.model_dump(mode="json", exclude_none=True)
    in_words = summary(job, level)
    message = session.app.amqp.as_task_v2(job_id, task, args=[document], argsrepr=in_words)
    session.app.amqp.send_task_message(
        producer,
        task,
        message,
        queue=queue_of(job.op).value,
        priority=level,
        headers=headers | {ITEMS: len(job.items)},
    )


def summary(job: Job, level: int) -> str:
    """Describe a job in a few words, which Flower and the logs show instead of its arguments."""
    first = primary_image(job.items[0]).name
    more = f" and {len(job.items) - 1} more" if len(job.items) > 1 else ""
    op = job.op
    if isinstance(job, PipelineJob):
        op += f" ({' | '.join(each.op for each in job.steps)})"
    return f"{op}: {first}{more}, level {level}"
