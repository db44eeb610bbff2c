"""A job's life on a worker: each delivery starts, runs and ends, or is turned away.

The end itself is not recorded here: Celery stores a result last of all, and
`shared.celery.result_backend` ends the job with it.
"""

import logging
import time
from collections.abc import Callable
from random import uniform
from typing import Any, NoReturn, cast

import redis
from celery import Task, shared_task
from celery.exceptions import Ignore, Reject
from celery.states import FAILURE, SUCCESS

from agewell.shared.errors import (
    BadJobError,
    BlobStoreError,
    BlobStoreFullError,
    BrokerFullError,
    CancelledError,
    DeadJobError,
    MessageTooLargeError,
    PassingError,
)
from agewell.shared.metrics import Metric, tally
from agewell.shared.protocol.envelope import FULL_RETRIES, count_of, level_of, time_of
from agewell.shared.protocol.messages import Job, JobResult, parse_job
from agewell.shared.protocol.tasks import Task as TaskName
from agewell.shared.queue import oversize
from agewell.shared.queue.dead_letters import DeadLetters
from agewell.shared.queue.ending import EXPIRED, INPUTS
from agewell.shared.queue.record import State
from agewell.shared.redis.clock import RedisClock
from agewell.workers.consuming.message import FLAG, SINCE
from agewell.workers.jobs.cancel_poll import CancelPoll
from agewell.workers.jobs.chaining import Earlier, follow, weave
from agewell.workers.jobs.counts import counted, refused
from agewell.workers.jobs.recorded_inputs import inputs_of, pack
from agewell.workers.jobs.run import Checkpoint
from agewell.workers.process import memory
from agewell.workers.process.context import context

log = logging.getLogger(__name__)

FULL = (BrokerFullError, redis.exceptions.OutOfMemoryError, BlobStoreFullError)
PASSING = (PassingError, redis.ConnectionError, redis.TimeoutError, *FULL)
RETRIES_MAX = 5
BACKOFF_MAX_S = 60.0
DOUBLINGS_MAX = 10

Operation = Callable[..., dict[str, Any]]


def operation(name: TaskName) -> Callable[[Operation], Operation]:
    """Make a function a Celery task of ours, bound to its request."""
    return cast(
        "Callable[[Operation], Operation]",
        shared_task(name=name.value, bind=True, max_retries=RETRIES_MAX),
    )


def deliver(
    task: Task, op: str, document: Any, following: Any, run: Callable[[Job, Checkpoint], JobResult]
) -> dict[str, Any]:
    """Run one delivery of a job.

    Args:
        task: the bound Celery task.
        op: the operation that the task runs.
        document: the job; in a chain, the result of the step before.
        following: in a chain, the job.
        run: what runs it, with a checkpoint to be called between its steps.

    Returns:
        A `JobResult` document.
    """
    size_bytes = oversize.size_of(task.request.headers)
    if size_bytes:
        _give_up_unread(task, size_bytes)
    flag = (task.request.headers or {}).get(FLAG)
    if flag:
        return _turn_away(task, State(flag))
    job, earlier = _parse(task, op, document, following)
    setattr(task.request, INPUTS, pack(inputs_of(job)))
    _note_wait(task, op)
    try:
        with counted(job.op, _level(task)) as count:
            made = run(job, CancelPoll(context().ledger, task.request.id))
            count(made)
    except CancelledError:
        _revoke(task, "cancelled")
    except MemoryError as error:
        # Celery takes one for the end of the whole worker.
        raise memory.error_for(job.op, context().settings) from error
    except PASSING as error:
        _try_again(task, error)
    result = weave(made, earlier) if earlier else made
    return result.model_dump(mode="json", exclude_none=True)


def _parse(task: Task, op: str, document: Any, following: Any) -> tuple[Job, Earlier]:
    earlier: Earlier = ()
    try:
        if following is not None:
            document, earlier = follow(document, following)
        job = parse_job(document)
        if job.op != op:
            raise BadJobError(f"op is {job.op!r}, sent to the task {task.name!r}")
    except BadJobError as error:
        refused(error.code)
        raise
    return job, earlier


_clock = RedisClock()


def _note_wait(task: Task, op: str) -> None:
    """Count how long a job has waited until now."""
    since = time_of((task.request.headers or {}).get(SINCE))
    if since is not None:
        waited_s = max(0.0, _clock.now(context().client) - since)
        tally.observe(Metric.WAIT, waited_s, op, _level(task))


def _level(task: Task) -> int:
    """The level that a job was given."""
    return level_of((task.request.delivery_info or {}).get("priority"))


def _turn_away(task: Task, state: State) -> dict[str, Any]:
    """End a delivery that must not run, as its job's state asks for."""
    job_id = task.request.id
    log.info("job %s came although it is %s", job_id, state.value)
    match state:
        case State.DONE:
            # Its worker could not acknowledge it. Celery sends what follows a task before it stores
            # its result, so that is sent; it counts a chord's part after that, and each part once.
            meta = task.backend.get_task_meta(job_id)
            if meta["status"] != SUCCESS:
                raise Ignore
            task.request.callbacks = task.request.chain = None
            return cast("dict[str, Any]", meta["result"])
        case State.FAILED if task.request.chord:
            # Its worker may not have counted it: Celery does that last, and counts each part once.
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
    """End a job as Celery's own revoked ones end."""
    task.backend.mark_as_revoked(task.request.id, reason, task.request)
    raise Ignore


def _try_again(task: Task, error: Exception) -> NoReturn:
    """Send the job again, to run later: twice as late each time, and never many at once."""
    request, full = task.request, isinstance(error, FULL) or _store_is_away(error)
    full_retries = _full_retries(request)
    retries = full_retries if full else request.retries - full_retries
    # No job is given up for what stops all of them: a full Redis, or a blob store that is away.
    if retries >= RETRIES_MAX and not full:
        _give_up(task, f"still failing after {retries} retries: {error}")
    longest_s = min(2.0 ** min(retries, DOUBLINGS_MAX), BACKOFF_MAX_S)
    countdown_s = uniform(0.5, 1) * longest_s  # noqa: S311
    headers = (request.headers or {}) | {FULL_RETRIES: full_retries + full}
    try:
        raise task.retry(
            exc=error, countdown=countdown_s, max_retries=request.retries + 1, headers=headers
        )
    except Reject as unsent:
        if isinstance(unsent.reason, MessageTooLargeError):
            raise unsent.reason from error
        # Redis is away still. Celery would end the job; its message goes back instead, a little
        # later: a start whose run does not end counts towards the job's death.
        time.sleep(countdown_s)
        raise Reject(unsent.reason, requeue=True) from error


def _store_is_away(error: Exception) -> bool:
    """True if the whole blob store fails, and not the bytes of this job alone."""
    if not isinstance(error, BlobStoreError):
        return False
    try:
        context().blobs.check()
    except PassingError:
        return True
    return False


def _full_retries(request: Any) -> int:
    """How many of a job's retries were not counted: all of them at the most."""
    return min(count_of((request.headers or {}).get(FULL_RETRIES)), count_of(request.retries))


def _give_up_unread(task: Task, size_bytes: int) -> NoReturn:
    """Put a job whose message unpacks to too much among the dead letters, without its arguments."""
    request, limit = task.request, context().settings.max_message_bytes
    reason = f"its message unpacks to more than {limit:,} bytes (AGEWELL_MAX_MESSAGE_BYTES)"
    queue = (request.delivery_info or {}).get("routing_key") or ""
    letters = DeadLetters(context().client)
    letters.keep_unread(request.id, queue, task.name, _level(task), b"", size_bytes, reason)
    raise DeadJobError(reason)


def _give_up(task: Task, reason: str) -> NoReturn:
    """Put a job among the dead letters."""
    request = task.request
    entry = context().ledger.get(request.id)
    if entry is None or not entry.state.ended:
        DeadLetters(context().client).keep_job(
            request.id,
            queue=(request.delivery_info or {}).get("routing_key") or "",
            job=task.signature_from_request(request, retries=0),
            level=_level(task),
            reason=reason,
            history="\n".join(entry.history) if entry is not None else "",
        )
    raise DeadJobError(reason)
