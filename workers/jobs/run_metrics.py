"""Metrics of one run of a job: its duration, and the errors of the items that failed."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from agewell.shared.errors import AgewellError, AllItemsFailedError, CancelledError, PassingError
from agewell.shared.metrics import Metric, tally
from agewell.shared.protocol.messages import JobResult


@contextmanager
def measured_run(op: str, level: int) -> Iterator[Callable[[JobResult], None]]:
    """Measure one run of a job, however it ends.

    Yields a function that counts the items of its result.
    """
    started = time.perf_counter()
    try:
        yield _count_items
    except AllItemsFailedError as error:
        for each in error.errors:
            count_failure(str(each["code"]))
        raise
    except (CancelledError, PassingError):
        raise
    except AgewellError as error:
        count_failure(error.code)
        raise
    finally:
        tally.observe(Metric.RUN, time.perf_counter() - started, op, level)


def count_failure(code: str) -> None:
    """Count one item or job that failed, by the class of its error."""
    tally.count(Metric.REFUSED, code)


def _count_items(result: JobResult) -> None:
    for item in result.items:
        if item.error is not None:
            count_failure(item.error.code)
