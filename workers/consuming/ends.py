"""A job that a process of the pool has done is ended by its worker's next take.

What the ledger is to be told travels with the task's outcome, which the process sends to its worker
anyway. That spares a job one of its two round trips to Redis.

If the worker is killed in between, the job is run again, as one is that was killed before its end.
An end outlives a lost connection, so the job is not run again for that.
"""

from collections.abc import Callable, Sequence
from typing import Any

from celery.app.trace import fast_trace_task

from agewell.shared.celery.result_backend import collect_ends
from agewell.shared.redis.scripts import Argument

Told = Sequence[Argument]

unwritten: dict[str, Told] = {}
"""What the ledger is to be told of jobs that this worker's pool has done, by their ids."""


def trace(*args: Any, **options: Any) -> tuple[Any, Any, Any, list[Told]]:
    """Run a task in a process of the pool: Celery's outcome, and what the ledger is to be told."""
    with collect_ends() as told:
        failed, answer, runtime = fast_trace_task(*args, **options)
    # A job that failed after it was done, by a handler of somebody's, has been ended as failed.
    return failed, answer, runtime, [] if failed else told


def keeping(callback: Callable[..., Any]) -> Callable[..., Any]:
    """Keep what the ledger is to be told, then do with the rest of an outcome as Celery does."""

    def keep(outcome: tuple[Any, Any, Any, list[Told]], **options: Any) -> None:
        *outcome_of_celery, told = outcome
        unwritten.update((str(each[0]), each) for each in told)
        callback(tuple(outcome_of_celery), **options)

    return keep
