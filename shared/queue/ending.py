"""How a job has ended, by the request of its task and by what came of it."""

from typing import Any

from celery import states

from agewell.shared.errors import DeadJobError
from agewell.shared.protocol.tasks import OP_OF_TASK
from agewell.shared.queue.ledger import End
from agewell.shared.queue.record import State

STATE_OF = {
    states.SUCCESS: State.DONE,
    states.FAILURE: State.FAILED,
    states.REVOKED: State.CANCELLED,
}
"""Our states of Celery's."""

INPUTS = "agewell_inputs"
"""An attribute of a request: its job's inputs, packed for the job's page."""

EXPIRED = "expired"
"""The reason that Celery itself gives for a task that came too late."""


def end_of(
    job_id: str, op: str, ended: State, result: Any, error: Exception | None, request: Any
) -> End:
    """The end of a job that a worker had.

    Args:
        job_id: its id.
        op: its operation.
        ended: the state that Celery's means.
        result: a `JobResult` document, if it has one.
        error: what it failed with, None if it did not.
        request: of its task.
    """
    items = _items(request)
    return End(
        job_id=job_id,
        state=state_of(ended, error),
        op=op,
        items=items,
        items_failed=_items_failed(result) if error is None else items,
        error="" if error is None else str(error),
        inputs=getattr(request, INPUTS, b""),
        is_counted=bool(getattr(request, "chord", None)),
    )


def state_of(ended: State, error: Any) -> State:
    """The state of a job that ended with an error: some errors are states."""
    if isinstance(error, DeadJobError):
        return State.DEAD
    if ended is State.CANCELLED and EXPIRED in str(error):
        return State.EXPIRED
    return ended


def op_of(request: Any) -> str | None:
    """The operation of a task's request; None if it is no job of ours."""
    return OP_OF_TASK.get(str(getattr(request, "task", "")))


def ignores_result(request: Any) -> bool:
    """True if a message's sender wants no result."""
    return bool(getattr(request, "ignore_result", False))


def _items(request: Any) -> int:
    """How many items a job's message has; none if it is no message of a job."""
    match getattr(request, "args", None):
        case [{"items": [*items]}, *_]:
            return len(items)
    return 0


def _items_failed(result: Any) -> int:
    match result:
        case {"items": [*items]}:
            return sum("error" in item for item in items)
    return 0
