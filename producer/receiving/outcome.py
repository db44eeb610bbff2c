"""The outcome of a job, read from its document in Celery's result backend."""

from dataclasses import dataclass
from typing import Any

from celery.exceptions import TaskRevokedError
from celery.states import READY_STATES, REVOKED, SUCCESS
from pydantic import ValidationError

from agewell.shared.errors import AgewellError, AllItemsFailedError, DeadJobError
from agewell.shared.protocol.messages import ErrorInfo, ImageRef, ItemResult, JobResult
from agewell.shared.queue.ending import EXPIRED
from agewell.shared.queue.record import State
from agewell.shared.text.problems import first_problem


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        job_id: the id of the job.
        state: done, failed, cancelled, expired or dead.
        items: the result or the error of each item, in order. Empty if the job as a whole failed.
        error: the error of the job as a whole, if there is one.
    """

    job_id: str
    state: State
    items: tuple[ItemResult, ...]
    error: ErrorInfo | None = None

    @property
    def images(self) -> list[ImageRef]:
        """The images that the job made, in the order of its items. Failed items have none."""
        return [item.image for item in self.items if item.image is not None]

    @property
    def errors(self) -> list[ErrorInfo]:
        """The error of the job, or else the errors of its failed items."""
        of_items = [item.error for item in self.items if item.error is not None]
        return of_items if self.error is None else [self.error]


def read_outcome(backend: Any, job_id: str, document: bytes | str | None) -> Outcome | None:
    """Read the document of a job in Celery's result backend. Returns None if it has not ended."""
    if document is None:
        return None
    meta = backend.decode_result(document)
    if meta["status"] not in READY_STATES:
        return None
    if meta["status"] == SUCCESS:
        return _success(job_id, meta["result"])
    return _failure(job_id, meta)


def _success(job_id: str, result: Any) -> Outcome:
    try:
        items = JobResult.model_validate(result).items
    except ValidationError as error:
        reason = first_problem(error).line("the result")
        info = ErrorInfo(code="BadResult", message=f"not a result of agewell: {reason}")
        return Outcome(job_id, State.FAILED, (), info)
    return Outcome(job_id, State.DONE, items)


def _failure(job_id: str, meta: dict[str, Any]) -> Outcome:
    error = meta["result"]
    if meta["status"] == REVOKED and EXPIRED in str(error):
        reason = "expired: its deadline passed before it could start"
        return Outcome(job_id, State.EXPIRED, (), ErrorInfo(code="Expired", message=reason))
    if isinstance(error, DeadJobError):
        return Outcome(job_id, State.DEAD, (), ErrorInfo.of(error))
    if meta["status"] == REVOKED or isinstance(error, TaskRevokedError):
        return Outcome(
            job_id, State.CANCELLED, (), ErrorInfo(code="Cancelled", message="cancelled")
        )
    if isinstance(error, AllItemsFailedError):
        return Outcome(job_id, State.FAILED, tuple(_failed_item(each) for each in error.errors))
    if isinstance(error, AgewellError):
        return Outcome(job_id, State.FAILED, (), ErrorInfo.of(error))
    info = ErrorInfo(code=type(error).__name__, message=str(error))
    return Outcome(job_id, State.FAILED, (), info)


def _failed_item(document: Any) -> ItemResult:
    try:
        return ItemResult(error=ErrorInfo.model_validate(document))
    except ValidationError as error:
        reason = first_problem(error).line("the error")
        info = ErrorInfo(code="BadResult", message=f"not an error of agewell: {reason}")
        return ItemResult(error=info)
