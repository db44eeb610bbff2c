"""Reads the job from a message, for the page of a job that has not ended."""

from agewell.shared.protocol.messages import Job
from agewell.shared.queue.request import request_of
from agewell.workers.jobs.chaining import job_of


def job_in(message: bytes) -> tuple[Job | None, str]:
    """Return the job in a kombu message, or None and the reason if there is no job."""
    request = request_of(message)
    return (None, "its message cannot be read") if request is None else job_of(request.args)
