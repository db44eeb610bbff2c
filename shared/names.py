"""Names of tasks, queues and priority levels. No logic beyond their parsing."""

from enum import StrEnum

from shared.errors import ParameterError


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

LEVELS = tuple(range(10))
"""Priority levels; 0 is the most urgent, as Celery on Redis has it."""

LEVEL_OF_NAME = {"urgent": 0, "high": 2, "normal": 5, "low": 7, "bulk": 9}
NAME_OF_LEVEL = {level: name for name, level in LEVEL_OF_NAME.items()}
DEFAULT_LEVEL = LEVEL_OF_NAME["normal"]


def level_from(text: str) -> int:
    """Read a priority level from its name or its digit.

    Raises:
        ParameterError: the text is neither.
    """
    if text in LEVEL_OF_NAME:
        return LEVEL_OF_NAME[text]
    if len(text) == 1 and text.isdecimal() and int(text) in LEVELS:
        return int(text)
    raise ParameterError("priority", text, f"0 to 9, or one of {', '.join(LEVEL_OF_NAME)}")
