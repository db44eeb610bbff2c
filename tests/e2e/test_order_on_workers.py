"""The order in which real workers start jobs, with beat and upkeep."""

import pytest
from celery import chain, group

from agewell.shared.queue.status import queue_status
from tests.support.stack import until
from tests.support.timed_stack import TimedStack, ids_of, timed_stack

pytestmark = pytest.mark.slow

BULK, URGENT = 9, 0
WORKERS = 2


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_saturated_worker_reserves_nothing_and_starts_an_urgent_job_next(pool):
    with timed_stack(pool, WORKERS, aging_k=0) as stack:
        stack.send_many(BULK, 0.2, 10_000)
        until(lambda: len(stack.starts()) >= 3 * WORKERS, 60, stack.starts)
        urgent = stack.send(URGENT, 0.0)
        held = _reserved(stack)
        until(lambda: urgent in ids_of(stack.starts()), 30, lambda: len(stack.starts()))
        starts = stack.starts()
    [mine] = [start for start in starts if start.job_id == urgent]
    between = [s for s in starts if mine.enqueued_at < s.started_at < mine.started_at]
    assert len(between) <= WORKERS
    assert held <= WORKERS


def test_each_part_of_a_chord_is_as_old_and_as_urgent_as_the_first_step():
    """Its body is sent by the worker that ends the last of its header, by the result backend."""
    with timed_stack("prefork", WORKERS, aging_k=0) as stack:
        options = {"queue": "cv", "ignore_result": False}
        part = stack.session.app.signature("cv.timed", (0.0,), immutable=True, options=options)
        chain(part, group(part, part, part), part).apply_async(priority=3)
        until(lambda: len(stack.starts()) == 5, 60, stack.starts)
        starts = stack.starts()
    assert {start.level for start in starts} == {3}
    assert len({start.enqueued_at for start in starts}) == 1


def _reserved(stack: TimedStack) -> int:
    session = stack.session
    queues = queue_status(session.client, session.settings, session.now())
    [cv] = [queue for queue in queues if queue.queue == "cv"]
    return cv.reserved
