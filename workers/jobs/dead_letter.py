"""Gives up a job during its delivery: it ends as dead, and a dead letter keeps its message.

Upkeep gives up jobs that take their workers down (`agewell.workers.maintenance.give_up`).
"""

from typing import NoReturn

from celery import Task

from agewell.shared.errors import DeadJobError
from agewell.shared.queue.dead_letters import DeadLetters
from agewell.workers.jobs.delivery_info import task_level, task_queue
from agewell.workers.process.context import context


def give_up(task: Task, reason: str) -> NoReturn:
    """Make a dead letter of a job, and fail the job.

    Raises:
        DeadJobError: always, with the reason.
    """
    request = task.request
    record = context().ledger.get(request.id)
    if record is None or not record.state.ended:
        DeadLetters(context().client).keep_job(
            request.id,
            queue=task_queue(task),
            job=task.signature_from_request(request, retries=0),
            level=task_level(task),
            reason=reason,
            history="\n".join(record.history) if record is not None else "",
        )
    raise DeadJobError(reason)


def give_up_unread(task: Task, size_bytes: int) -> NoReturn:
    """Make a dead letter, without arguments, of a job whose message is too large once unpacked.

    Args:
        task: the bound Celery task.
        size_bytes: the unpacked message is larger than this.

    Raises:
        DeadJobError: always, with the reason.
    """
    request, limit = task.request, context().settings.max_message_bytes
    reason = f"its message unpacks to more than {limit:,} bytes (AGEWELL_MAX_MESSAGE_BYTES)"
    letters, level = DeadLetters(context().client), task_level(task)
    letters.keep_unread(request.id, task_queue(task), task.name, level, b"", size_bytes, reason)
    raise DeadJobError(reason)
