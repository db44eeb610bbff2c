"""Every Redis key of ours, and the names that kombu gives to its lists."""

PREFIX = "agewell:"
PRIORITY_SEPARATOR = "\x06\x16"
"""kombu's `Channel.sep`, between a queue's name and a priority step."""

UNACKED = "unacked"
"""kombu's hash of reserved messages: delivery tag -> JSON [message, exchange, routing key]."""

RESULT_PREFIX = "celery-task-meta-"
"""Celery's `KeyValueStoreBackend.task_keyprefix`."""


def waiting_list(queue: str, level: int) -> str:
    """kombu's list of the jobs of a queue that wait on a level (its right end is the head)."""
    return f"{queue}{PRIORITY_SEPARATOR}{level}" if level else queue


def blob(sha256: str) -> str:
    """The bytes of one image."""
    return f"{PREFIX}blob:{sha256}"


def job(job_id: str) -> str:
    """The ledger's record of one job: a hash."""
    return f"{PREFIX}job:{job_id}"


def result(job_id: str) -> str:
    """Celery's record of one task's result: JSON."""
    return f"{RESULT_PREFIX}{job_id}"
