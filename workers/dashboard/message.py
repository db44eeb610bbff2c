"""The job in a message: shown on its page until the job ends."""

from typing import Any

from shared.errors import BadJobError
from shared.messages import Job, parse_job
from shared.queue.request import request_of
from workers.chaining import follow


def job_in(message: bytes) -> tuple[Job | None, str]:
    """The job in a message as kombu writes it, and if there is none, why."""
    request = request_of(message)
    return (None, "its message cannot be read") if request is None else job_of(request.args)


def job_of(args: Any) -> tuple[Job | None, str]:
    """The job in a task's arguments, and if there is none, why.

    The next step of a chain has the result of the step before as its first argument.
    """
    try:
        match args:
            case [document]:
                return parse_job(document), ""
            case [before, document]:
                return parse_job(follow(before, document)[0]), ""
    except BadJobError as error:
        return None, str(error)
    return None, "the message has no job as its argument"
