"""Ends of jobs that a pool process has finished: the worker's next take writes them to Redis.

A pool process sends its worker the arguments of the job's end together with the task's outcome.
This saves one of two round trips to Redis per job.

If the worker is killed in between, the job runs again, as if it had been killed before its end. A
lost connection does not lose an end, so the job does not run again.
"""

from collections.abc import Callable, Sequence
from typing import Any

from celery.app.trace import fast_trace_task

from agewell.shared.celery.result_backend import collect_ends
from agewell.shared.redis.scripts import Argument

EndArguments = Sequence[Argument]
"""Arguments of the script that ends a job, as `Ledger.end_arguments` returns them.

The first is the job's id."""

pending_ends: dict[str, EndArguments] = {}
"""Ends by job id that this worker has not yet written to Redis."""


def trace_with_ends(*args: Any, **options: Any) -> tuple[Any, Any, Any, list[EndArguments]]:
    """Run a task in a pool process.

    Returns Celery's outcome and the ends of the jobs that it finished.
    """
    with collect_ends() as ends:
        failed, answer, runtime = fast_trace_task(*args, **options)
    # If a user's signal handler failed after the job was done, the job has ended as failed.
    return failed, answer, runtime, [] if failed else ends


def keep_ends(callback: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a callback: keep the ends, then pass Celery's part of the outcome to the callback."""

    def keep(outcome: tuple[Any, Any, Any, list[EndArguments]], **options: Any) -> None:
        *outcome_of_celery, ends = outcome
        pending_ends.update((str(each[0]), each) for each in ends)
        callback(tuple(outcome_of_celery), **options)

    return keep
