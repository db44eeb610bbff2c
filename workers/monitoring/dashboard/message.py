"""The job in a message: shown on its page until the job ends."""

from agewell.shared.protocol.messages import Job
from agewell.shared.queue.request import request_of
from agewell.workers.jobs.chaining import job_of


def job_in(message: bytes) -> tuple[Job | None, str]:
    """The job in a message as kombu writes it, and if there is none, why."""
    request = request_of(message)
    return (None, "its message cannot be read") if request is None else job_of(request.args)
