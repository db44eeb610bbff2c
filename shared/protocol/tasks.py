"""Names of queues and Celery tasks, and the operation of each task.

The task of an image operation is called `cv.` and the name of the operation, so that an operation
needs no entry here.
"""

import re
from enum import StrEnum


class Queue(StrEnum):
    """Names of the Celery queues."""

    CV = "cv"
    INFER = "infer"
    UPKEEP = "upkeep"


class Task(StrEnum):
    """Names of the Celery tasks."""

    INFER = "infer.run"
    KEEP_BLOBS = "upkeep.keep_blobs"
    SWEEP_BLOBS = "upkeep.sweep_blobs"
    SWEEP_AGING = "aging.sweep"
    RETURN_JOBS = "upkeep.return_jobs"
    EXPIRE_JOBS = "upkeep.expire_jobs"
    FIND_LOST_JOBS = "upkeep.find_lost_jobs"


INFER = "infer"
"""The operation that runs a model."""
PIPELINE = "pipeline"
"""The operation that runs several operations."""

_CV_TASK = re.compile(r"cv\.([a-z][a-z0-9_]{0,47})")  # the same in shared/queue/admit.lua


def task_of(op: str) -> str:
    """Return the name of the Celery task of an operation."""
    return Task.INFER.value if op == INFER else f"cv.{op}"


def op_of_task(task: object) -> str | None:
    """Return the operation of a Celery task, or None if the task is not an operation."""
    if task == Task.INFER:
        return INFER
    found = _CV_TASK.fullmatch(task) if isinstance(task, str) else None
    return found and found[1]


def queue_of(op: str) -> Queue:
    """Return the queue of the jobs of an operation."""
    return Queue.INFER if op == INFER else Queue.CV


WORK_QUEUES = (Queue.CV, Queue.INFER)
"""The queues of jobs on images, as opposed to upkeep's queue."""
