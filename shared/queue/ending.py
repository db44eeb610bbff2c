"""The end of a job, built from its task's request and its result or error."""

from typing import Any

from celery import states

from agewell.shared.errors import DeadJobError
from agewell.shared.protocol.tasks import op_of_task
from agewell.shared.queue.ledger import End
from agewell.shared.queue.record import State

STATE_OF = {
    states.SUCCESS: State.DONE,
    states.FAILURE: State.FAILED,
    states.REVOKED: State.CANCELLED,
}
"""Celery's final states -> the states of jobs."""

INPUTS = "agewell_inputs"
"""Attribute of a request with the job's inputs, packed for the job's page."""

EXPIRED = "expired"
"""The reason that Celery gives for a task whose deadline has passed."""


def end_of(
    job_id: str, op: str, celery_state: str, result: Any, error: Exception | None, request: Any
) -> End:
    """Build the end of a job that a worker ran.

    Args:
        job_id: the job's id.
        op: the job's operation.
        celery_state: a key of `STATE_OF`.
        result: the `JobResult` document, if the job has one.
        error: the job's error, or None if it is done.
        request: the task's request.
    """
    items = _items(request)
    return End(
        job_id=job_id,
        state=state_of(celery_state, error),
        op=op,
        items=items,
        items_failed=_items_failed(result) if error is None else items,
        error="" if error is None else str(error),
        inputs=getattr(request, INPUTS, b""),
        is_counted=bool(getattr(request, "chord", None)),
    )


def state_of(celery_state: str, error: Any) -> State:
    """Return the state of an ended job. Some errors have states that Celery does not know."""
    if isinstance(error, DeadJobError):
        return State.DEAD
    if celery_state == states.REVOKED and EXPIRED in str(error):
        return State.EXPIRED
    return STATE_OF[celery_state]


def op_of(request: Any) -> str | None:
    """Return the operation of a task's request, or None if it is not a job of agewell."""
    return op_of_task(getattr(request, "task", None))


def ignores_result(request: Any) -> bool:
    """Return True if the sender of a task wants no result."""
    return bool(getattr(request, "ignore_result", False))


def _items(request: Any) -> int:
    """Return the number of items of a job's request, or 0 if it is malformed."""
    match getattr(request, "args", None):
        case [{"items": [*items]}, *_]:
            return len(items)
    return 0


def _items_failed(result: Any) -> int:
    match result:
        case {"items": [*items]}:
            return sum("error" in item for item in items)
    return 0
