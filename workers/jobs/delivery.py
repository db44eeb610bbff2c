"""One delivery of a job: it is run, or turned away if the job must not run.

The end of a job is not recorded here. Celery stores the result last of all, and
`shared.celery.result_backend` ends the job together with it.
"""

import logging
from collections.abc import Callable
from typing import Any, NoReturn, cast

from celery import Task, shared_task
from celery.exceptions import Ignore
from celery.states import FAILURE, SUCCESS

from agewell.shared.errors import BadJobError, CancelledError
from agewell.shared.metrics import Metric, tally
from agewell.shared.protocol.envelope import time_of
from agewell.shared.protocol.messages import Job, JobResult
from agewell.shared.queue import oversize
from agewell.shared.queue.ending import EXPIRED, INPUTS
from agewell.shared.queue.record import State
from agewell.shared.redis.clock import RedisClock
from agewell.workers.consuming.message import FLAG, SINCE
from agewell.workers.jobs.chaining import Earlier, next_job, with_earlier_errors
from agewell.workers.jobs.dead_letter import give_up_unread
from agewell.workers.jobs.delivery_info import task_level
from agewell.workers.jobs.job_classes import parse_job
from agewell.workers.jobs.job_poll import JobPoll
from agewell.workers.jobs.recorded_inputs import inputs_of, pack
from agewell.workers.jobs.retries import PASSING, RETRIES_MAX, retry_later
from agewell.workers.jobs.run_metrics import count_failure, measured_run
from agewell.workers.process import memory
from agewell.workers.process.context import context

log = logging.getLogger(__name__)

TaskFunction = Callable[..., dict[str, Any]]


def operation_task(name: str) -> Callable[[TaskFunction], TaskFunction]:
    """Make a function a Celery task of agewell, bound to its request."""
    return cast(
        "Callable[[TaskFunction], TaskFunction]",
        shared_task(name=name, bind=True, max_retries=RETRIES_MAX),
    )


def deliver(
    task: Task, op: str, document: Any, following: Any, run: Callable[[Job, JobPoll], JobResult]
) -> dict[str, Any]:
    """Run one delivery of a job.

    Args:
        task: the bound Celery task.
        op: the operation that the task runs.
        document: the job. In a chain, the result of the step before.
        following: the job, in a chain. Otherwise None.
        run: runs the job. It gets a checkpoint to call between its steps.

    Returns:
        A `JobResult` document.

    Raises:
        Ignore: the job must not run, or it was cancelled.
        Retry: a passing error, so the job was sent again to run later.
        Reject: a passing error, and the retry could not be sent. The message is requeued.
        AgewellError: the job failed.
    """
    size_bytes = oversize.size_of(task.request.headers)
    if size_bytes:
        give_up_unread(task, size_bytes)
    flag = (task.request.headers or {}).get(FLAG)
    if flag:
        return _turn_away(task, State(flag))
    job, earlier = _parse(task, op, document, following)
    setattr(task.request, INPUTS, pack(inputs_of(job)))
    _record_wait(task, op)
    try:
        with measured_run(job.op, task_level(task)) as count:
            made = run(job, JobPoll(context().ledger, task.request.id))
            count(made)
    except CancelledError:
        _revoke(task, "cancelled")
    except MemoryError as error:
        # Celery would shut the whole worker down for a MemoryError.
        raise memory.error_for(job.op, context().settings) from error
    except PASSING as error:
        retry_later(task, error)
    result = with_earlier_errors(made, earlier) if earlier else made
    return result.model_dump(mode="json", exclude_none=True)


def _parse(task: Task, op: str, document: Any, following: Any) -> tuple[Job, Earlier]:
    earlier: Earlier = ()
    modules = context().settings.operations
    try:
        if following is not None:
            document, earlier = next_job(document, following, modules)
        job = parse_job(document, modules)
        if job.op != op:
            raise BadJobError(f"op is {job.op!r}, but the job was sent to the task {task.name!r}")
    except BadJobError as error:
        count_failure(error.code)
        raise
    return job, earlier


_clock = RedisClock()


def _record_wait(task: Task, op: str) -> None:
    """Record how long a job has waited until now."""
    since = time_of((task.request.headers or {}).get(SINCE))
    if since is not None:
        waited_s = max(0.0, _clock.now(context().client) - since)
        tally.observe(Metric.WAIT, waited_s, op, task_level(task))


def _turn_away(task: Task, state: State) -> dict[str, Any]:
    """End a delivery of a job that must not run."""
    job_id = task.request.id
    log.info("job %s was delivered again and not run: it is %s", job_id, state.value)
    match state:
        case State.DONE:
            # Its worker could not acknowledge it. Celery sends a task's callbacks before it stores
            # the result, so they are sent already. A chord's part may not be counted yet: Celery
            # counts it after the result, and each part once.
            meta = task.backend.get_task_meta(job_id)
            if meta["status"] != SUCCESS:
                raise Ignore
            task.request.callbacks = task.request.chain = None
            return cast("dict[str, Any]", meta["result"])
        case State.FAILED if task.request.chord:
            # The chord may not have counted it yet: Celery does that last, and each part once.
            task.request.errbacks = None
            meta = task.backend.get_task_meta(job_id)
            if meta["status"] == FAILURE and isinstance(meta["result"], Exception):
                raise meta["result"]
        case State.CANCELLED:
            _revoke(task, "cancelled")
        case State.EXPIRED:
            _revoke(task, EXPIRED)
    raise Ignore


def _revoke(task: Task, reason: str) -> NoReturn:
    """End a job the way Celery ends a revoked task."""
    task.backend.mark_as_revoked(task.request.id, reason, task.request)
    raise Ignore
