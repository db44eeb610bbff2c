"""Cancels jobs."""

from celery.exceptions import TaskRevokedError

from agewell.producer.session import Session
from agewell.shared.queue.record import Record, State


def cancel_job(session: Session, job_id: str) -> Record | None:
    """Cancel a job. A waiting job leaves its queue, and a running one ends at its next step.

    Returns:
        The record as it was before, or None if the job is unknown.
    """
    before = session.ledger.get(job_id)
    if before is None or before.state.ended:
        return before
    # If it has started since, the same call asks it to end.
    session.app.backend.end_open(job_id, TaskRevokedError("cancelled"), State.WAITING)
    return before
