"""Celery's stored result, built for a job that no worker ends."""

import json
from datetime import UTC, datetime

from celery import states
from celery.exceptions import TaskRevokedError
from kombu.utils.json import dumps

from agewell.shared.errors import AgewellError, stored_module

ID_MARK = "\0\0"
"""Placeholder for the job's id in a result that is used for many jobs."""


def document_of(job_id: str, error: AgewellError | TaskRevokedError, now: float) -> str:
    """Build the stored result of a job that ends with an error.

    Args:
        job_id: the job's id, or `ID_MARK`.
        error: a `TaskRevokedError` gives Celery's state REVOKED, another error gives FAILURE.
        now: Unix time in seconds.

    Returns:
        JSON, as Celery's result backend stores it.
    """
    is_revoked = isinstance(error, TaskRevokedError)
    text: str = dumps(
        {
            "status": states.REVOKED if is_revoked else states.FAILURE,
            "result": {
                "exc_type": type(error).__name__,
                "exc_message": [*error.args],
                "exc_module": stored_module(error),
            },
            "traceback": None,
            "children": [],
            "date_done": datetime.fromtimestamp(now, UTC).isoformat(),
            "task_id": job_id,
        },
        separators=(",", ":"),
    )
    return text.replace(json.dumps(ID_MARK)[1:-1], ID_MARK)
