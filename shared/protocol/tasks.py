"""Names of queues and tasks, and the operation that each task runs."""

from enum import StrEnum


class Queue(StrEnum):
    """The Celery queues."""

    CV = "cv"
    INFER = "infer"
    UPKEEP = "upkeep"


class Task(StrEnum):
    """The Celery task names."""

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
