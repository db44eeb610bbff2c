"""Ending a job before its time."""

from producer.session import Session
from shared.ledger import Entry, State


def cancel_job(session: Session, job_id: str) -> Entry | None:
    """Cancel a job: a waiting one will not run, a running one ends at its next step.

    Returns:
        Its record as it was before; None for an unknown job.
    """
    before = session.ledger.cancel(job_id)
    if before is not None and before.state is State.WAITING:
        session.app.backend.mark_as_revoked(job_id, "cancelled")
    return before
