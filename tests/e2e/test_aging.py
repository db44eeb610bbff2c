"""Aging of real jobs on real workers, with beat and upkeep, against the simulator."""

import statistics
import time

import celery
import pytest

from agewell.producer.simulate.jobs import Job
from agewell.producer.simulate.simulation import Setup, simulate
from agewell.shared.celery.app import broker_url
from agewell.shared.protocol.aging import AgingPolicy
from tests.support.stack import until
from tests.support.timed_stack import Start, TimedStack, ids_of, timed_stack

pytestmark = [pytest.mark.slow, pytest.mark.alone]

K = 1.0
BULK, URGENT = 9, 0
SERVICE_S = 0.05
WORKERS = 4
OVERLOAD = {URGENT: 84.0, BULK: 12.0}  # jobs/s; four workers of 0.05 s do 80 at the most
NEXT_STARTS = 100
NOISE_S = 0.5  # of a loaded machine: between the taking of a job and the note that it started


def test_idle_worker_hears_soon_of_plain_messages_and_of_jobs_that_come_due():
    """A worker's own heartbeat would look once a second: half a second late on average."""
    with timed_stack("threads", 2) as stack:
        url = stack.session.settings.redis_url.get_secret_value()
        with celery.Celery(broker=broker_url(url), set_as_current=False) as plain:
            late_s = [_lateness_s(stack, plain, countdown) for countdown in [0.0, 0.3] * 8]
    assert statistics.median(late_s) < 0.3


def _lateness_s(stack: TimedStack, plain: celery.Celery, countdown: float) -> float:
    due_at = time.time() + countdown
    sent = plain.send_task("cv.timed", [0.0], queue="cv", countdown=countdown or None)
    until(lambda: sent.id in ids_of(stack.starts()), 30, stack.starts)
    [start] = [start for start in stack.starts() if start.job_id == sent.id]
    return start.started_at - due_at


def longest_overtaking_s(starts: list[Start]) -> float:
    """By how much the latest job that overtook a bulk job had come after it, at the most."""
    in_order = sorted(starts, key=lambda start: start.started_at)
    latest_so_far: list[float] = []
    worst = 0.0
    for start in in_order:
        if start.level == BULK and latest_so_far:
            worst = max(worst, latest_so_far[-1] - start.enqueued_at)
        latest = max(start.enqueued_at, latest_so_far[-1] if latest_so_far else 0.0)
        latest_so_far.append(latest)
    return worst


@pytest.fixture(scope="module")
def overloaded() -> list[Start]:
    """A minute of more work than four workers can do, most of it urgent."""
    with timed_stack("prefork", WORKERS, aging_k=K) as stack:
        # The first jobs of a pool process wait for its imports.
        stack.send_many(URGENT, 0.2, 2 * WORKERS)
        until(lambda: len(stack.starts()) == 2 * WORKERS, 60, stack.starts)
        stack.offer(OVERLOAD, SERVICE_S, for_s=60, seed=1)
        return stack.starts()[2 * WORKERS :]


def test_no_job_overtakes_a_bulk_job_after_its_head_start(overloaded: list[Start]):
    assert len(_bulk(overloaded)) > 300
    assert longest_overtaking_s(overloaded) <= BULK / K + NOISE_S
    # The bound is near: the test would see a system that ages twice as slowly.
    assert longest_overtaking_s(overloaded) > BULK / K / 2


def test_real_workers_wait_as_long_as_the_simulator_says(overloaded: list[Start]):
    first = min(start.enqueued_at for start in overloaded)
    by_arrival = sorted(overloaded, key=lambda start: start.enqueued_at)
    occupied_s = _occupied_s(overloaded)
    jobs = [Job(s.enqueued_at - first, s.level, occupied_s[s.job_id]) for s in by_arrival]
    run = simulate(jobs, Setup(AgingPolicy(K), workers=WORKERS))
    for level in OVERLOAD:
        real = [s.started_at - s.enqueued_at for s in by_arrival if s.level == level]
        simulated = [
            started - job.arrived_at
            for job, started in zip(jobs, run.started_at, strict=True)
            if job.level == level
        ]
        assert statistics.mean(simulated) == pytest.approx(statistics.mean(real), rel=0.1)


def _occupied_s(starts: list[Start]) -> dict[str, float]:
    """Seconds for which each job occupied a worker, Celery's own work included.

    Seen while all workers were busy, as the mean over the next hundred starts: other programs on
    the machine make workers slower at some times than at others.
    """
    in_order = sorted(starts, key=lambda start: start.started_at)
    found = {}
    for number, start in enumerate(in_order):
        first = min(max(number, NEXT_STARTS), len(in_order) - NEXT_STARTS - 1)
        passed_s = in_order[first + NEXT_STARTS].started_at - in_order[first].started_at
        found[start.job_id] = WORKERS * passed_s / NEXT_STARTS
    return found


def test_without_aging_the_same_load_starves_bulk():
    with timed_stack("prefork", WORKERS, aging_k=0) as stack:
        stack.offer(OVERLOAD, SERVICE_S, for_s=20, seed=1)
        started_bulk = _bulk(stack.starts())
    assert len(started_bulk) < 0.2 * OVERLOAD[BULK] * 20


def _bulk(starts: list[Start]) -> list[Start]:
    return [start for start in starts if start.level == BULK]
