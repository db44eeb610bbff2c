"""Due dates on real workers: more jobs are done in time than without."""

import pytest

from benchmarks.due_dates import OPERATION, Planned, Sleepers
from tests.support.stack import started, state_directory

SLOTS, SECONDS, JOBS = 2, 0.1, 50
ALONE_S = SECONDS / SLOTS


@pytest.mark.alone
@pytest.mark.parametrize("tenant", [None, "ana"])
def test_more_jobs_are_done_in_time_with_due_dates(sleepers, tenant):
    # Twice the time that it takes to do the jobs in the order of their due dates. They are sent in
    # the opposite order, so that the second half is late, and most of the first half is in time.
    dues = [0.25 + 2 * ALONE_S * number for number in reversed(range(JOBS))]
    planned = [Planned(0.0, SECONDS, due_s, tenant) for due_s in dues]
    without = sleepers.run(planned, with_due=False)
    with_due = sleepers.run(planned, with_due=True)
    assert with_due.in_time > 0.95, (with_due, without)
    assert without.in_time < 0.8, (with_due, without)


@pytest.fixture(scope="module")
def sleepers():
    with (
        state_directory() as folder,
        started(folder, CONCURRENCY=SLOTS, OPERATIONS=str(OPERATION)) as stack,
    ):
        made = Sleepers(stack.client)
        made.jobs_per_s(20)
        yield made
        stack.stop()
