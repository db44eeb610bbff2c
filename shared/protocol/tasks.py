"""Names of queues and Celery tasks, and the operation of each task."""

from enum import StrEnum


class Queue(StrEnum):
    """Names of the Celery queues."""

    CV = "cv"
    INFER = "infer"
    UPKEEP = "upkeep"


class Task(StrEnum):
    """Names of the Celery tasks."""

    HSV = "cv.hsv"
    ALPHA_BLEND = "cv.alpha_blend"
    POISSON_BLEND = "cv.poisson_blend"
    INFER = "infer.run"
    KEEP_BLOBS = "upkeep.keep_blobs"
    SWEEP_BLOBS = "upkeep.sweep_blobs"
    SWEEP_AGING = "aging.sweep"
    RETURN_JOBS = "upkeep.return_jobs"
    EXPIRE_JOBS = "upkeep.expire_jobs"
    FIND_LOST_JOBS = "upkeep.find_lost_jobs"


TASK_OF_OP = {
    "hsv": Task.HSV,
    "alpha_blend": Task.ALPHA_BLEND,
    "poisson_blend": Task.POISSON_BLEND,
    "infer": Task.INFER,
}
QUEUE_OF_OP = dict.fromkeys(TASK_OF_OP, Queue.CV) | {"infer": Queue.INFER}
OP_OF_TASK = {task.value: op for op, task in TASK_OF_OP.items()}
WORK_QUEUES = (Queue.CV, Queue.INFER)
"""The queues of jobs on images, as opposed to upkeep's queue."""
