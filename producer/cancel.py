"""Ending a job before its time."""

from celery.exceptions import TaskRevokedError

from producer.session import Session
from shared.entry import Entry, State
from shared.names import QUEUE_OF_OP
from shared.waiting import take_out


def cancel_job(session: Session, job_id: str) -> Entry | None:
    """Cancel a job: a waiting one leaves its queue, a running one ends at its next step.

    Returns:
        Its record as it was before; None for an unknown job.
    """
    before = session.ledger.get(job_id)
    if before is None or before.state.ended:
        return before
    # Asked first: one that starts at this moment then ends at its next step.
    session.ledger.ask_to_cancel(job_id)
    revoked = TaskRevokedError("cancelled")
    if session.app.backend.end_open(job_id, revoked, State.WAITING) and before.op in QUEUE_OF_OP:
        take_out(session.client, QUEUE_OF_OP[before.op].value, job_id)
    return before
