"""The Celery tasks: what binds a job's life to the queue. They compute nothing themselves."""

import logging
import time
from collections.abc import Callable
from typing import Any, cast

import redis
from celery import Task, shared_task
from celery.exceptions import Ignore

from shared.errors import AgewellError, BadJobError, CancelledError, PassingError
from shared.ledger import Ledger, State
from shared.messages import ItemResult, Job, JobResult, parse_job
from shared.names import Task as TaskName
from shared.stamp import enqueued_at
from workers import runtime
from workers.chaining import Earlier, follow, weave
from workers.context import context, settings
from workers.jobs import Checkpoint, run_job

runtime.limit_threads(settings())

log = logging.getLogger(__name__)

CANCEL_POLL_S = 0.5
PASSING = (PassingError, redis.ConnectionError, redis.TimeoutError)


class CancelPoll:
    """A checkpoint that asks the ledger, at most every so often, whether the job shall end."""

    def __init__(self, ledger: Ledger, job_id: str) -> None:
        self._ledger = ledger
        self._job_id = job_id
        self._next_at = time.monotonic() + CANCEL_POLL_S

    def __call__(self) -> None:
        """Raise CancelledError if the job was cancelled."""
        now = time.monotonic()
        if now < self._next_at:
            return
        self._next_at = now + CANCEL_POLL_S
        if self._ledger.cancel_asked(self._job_id):
            raise CancelledError


Operation = Callable[[Task, dict[str, Any]], dict[str, Any]]


def operation(name: TaskName) -> Callable[[Operation], Operation]:
    """Make a function a task: bound, tried again only after errors that may pass."""
    return cast(
        "Callable[[Operation], Operation]",
        shared_task(
            name=name.value,
            bind=True,
            autoretry_for=PASSING,
            retry_backoff=True,
            retry_jitter=True,
            max_retries=5,
        ),
    )


@operation(TaskName.HSV)
def hsv(task: Task, document: Any, following: Any = None) -> dict[str, Any]:
    """Run a job of BGR to HSV; `HsvJob` in, `JobResult` out."""
    return deliver(task, "hsv", document, following, _run)


@operation(TaskName.ALPHA_BLEND)
def alpha_blend(task: Task, document: Any, following: Any = None) -> dict[str, Any]:
    """Run a job of alpha blending; `AlphaBlendJob` in, `JobResult` out."""
    return deliver(task, "alpha_blend", document, following, _run)


@operation(TaskName.POISSON_BLEND)
def poisson_blend(task: Task, document: Any, following: Any = None) -> dict[str, Any]:
    """Run a job of Poisson blending; `PoissonBlendJob` in, `JobResult` out."""
    return deliver(task, "poisson_blend", document, following, _run)


def _run(job: Job, checkpoint: Checkpoint) -> JobResult:
    return run_job(job, context().blobs, context().settings, checkpoint)


def deliver(
    task: Task, op: str, document: Any, following: Any, run: Callable[[Job, Checkpoint], JobResult]
) -> dict[str, Any]:
    """Run one delivery of a job, and record in the ledger how it ended.

    In a chain, `document` is the result of the step before, and `following` the job.
    """
    ledger, job_id = context().ledger, task.request.id
    job, earlier = _parse(ledger, task, op, document, following)
    ended = _start(ledger, task.request, job)
    if ended is State.CANCELLED:
        _end_cancelled(task, ledger)
    if ended is not None:
        log.info("job %s came back although it is %s", job_id, ended.value)
        raise Ignore
    try:
        made = run(job, CancelPoll(ledger, job_id))
    except CancelledError:
        _end_cancelled(task, ledger)
    except PASSING:
        raise
    except AgewellError as error:
        ledger.end(job_id, State.FAILED, items_failed=len(job.items), error=str(error))
        raise
    result = weave(made, earlier) if earlier else made
    ledger.end(job_id, State.DONE, items_failed=_count_failed(result.items))
    return result.model_dump(mode="json", exclude_none=True)


def _start(ledger: Ledger, request: Any, job: Job) -> State | None:
    """Record that a job runs, and how long it has waited; or how it has ended already."""
    return ledger.start(
        request.id,
        job.op,
        len(job.items),
        request.hostname,
        level=(request.delivery_info or {}).get("priority") or 0,
        enqueued_at=enqueued_at(request),
    )


def _parse(
    ledger: Ledger, task: Task, op: str, document: Any, following: Any
) -> tuple[Job, Earlier]:
    earlier: Earlier = ()
    try:
        if following is not None:
            document, earlier = follow(document, following)
        job = parse_job(document)
        if job.op != op:
            raise BadJobError(f"op is {job.op!r}, sent to the task {task.name!r}")
    except BadJobError as error:
        ledger.end(task.request.id, State.FAILED, error=str(error))
        raise
    return job, earlier


def _count_failed(items: tuple[ItemResult, ...]) -> int:
    return sum(item.error is not None for item in items)


def _end_cancelled(task: Task, ledger: Ledger) -> None:
    """End a cancelled job as Celery's own revoked ones end."""
    ledger.end(task.request.id, State.CANCELLED)
    task.backend.mark_as_revoked(task.request.id, "cancelled", task.request)
    raise Ignore
