"""Ending a job before its time."""

from celery.exceptions import TaskRevokedError

from agewell.producer.session import Session
from agewell.shared.queue.record import Record, State


def cancel_job(session: Session, job_id: str) -> Record | None:
    """Cancel a job: a waiting one leaves its queue, a running one ends at its next step.

    Returns:
        Its record as it was before; None for an unknown job.
    """
    before = session.ledger.get(job_id)
    if before is None or before.state.ended:
        return before
    # One that has started by then is asked to end, in the same step.
    session.app.backend.end_open(job_id, TaskRevokedError("cancelled"), State.WAITING)
    return before
