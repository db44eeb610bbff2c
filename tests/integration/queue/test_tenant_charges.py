"""Tenants are charged for the time that their jobs had a worker, however those end."""

import heapq
from collections import Counter

import pytest

from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from tests.support.ordering import START, Scripts
from tests.support.programs import on_one_server

COST_S = 0.1
"""The cost of an operation that was never measured."""


@pytest.fixture
def scripts(client):
    return Scripts(client)


def send(scripts, tenant, count):
    for number in range(count):
        scripts.publish(f"{tenant}-{number}", 5, START, tenant=tenant, enqueued_at=START)


def clock(scripts, tenant):
    return float(scripts.client.hget(keys.tenant("cv", tenant), "clock"))


def served_s(scripts, run_s, seconds, workers, state=State.DONE):
    """How long workers have served each tenant, if each job runs as long as its tenant's do."""
    served, running, now = Counter(), [], START
    while now < START + seconds:
        while len(running) < workers:
            job_id, tag, _ = scripts.take(now)
            tenant = job_id.rpartition("-")[0]
            served[tenant] += run_s[tenant]
            heapq.heappush(running, (now + run_s[tenant], job_id, tag))
        now, job_id, tag = heapq.heappop(running)
        scripts.end(job_id, tag, state, now=now)
    return served


@on_one_server
@pytest.mark.parametrize("state", [State.DONE, State.FAILED, State.CANCELLED])
def test_tenants_with_long_and_short_jobs_of_one_operation_get_the_same_time(scripts, state):
    send(scripts, "short", 1200)
    send(scripts, "long", 120)
    served = served_s(scripts, {"short": 0.05, "long": 0.5}, 40, workers=2, state=state)
    assert served["short"] / served.total() == pytest.approx(0.5, abs=0.02)


def test_members_of_a_team_with_long_and_short_jobs_get_the_same_time(scripts):
    send(scripts, "team/short", 900)
    send(scripts, "team/long", 90)
    send(scripts, "alone", 600)
    run_s = {"team/short": 0.05, "team/long": 0.5, "alone": 0.1}
    served = served_s(scripts, run_s, 40, workers=2)
    assert served["alone"] / served.total() == pytest.approx(0.5, abs=0.02)
    assert served["team/short"] / served.total() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize(
    ("after_s", "lost_max", "charged_s"),
    [(0.0, 0, 0.0), (4.0, 0, 4.0), (4.0, 5, COST_S), (0.0, 5, 0.0), (4.0, 1, COST_S)],
)
def test_a_returned_job_is_charged_for_the_time_that_it_had_a_worker(
    scripts, after_s, lost_max, charged_s
):
    """If its worker has died, nobody knows when: then its cost is the most."""
    send(scripts, "ana", 2)
    _, tag, _ = scripts.take(START)
    assert clock(scripts, "ana") - START == pytest.approx(COST_S)
    scripts.give_back(tag, now=START + after_s, lost_max=lost_max)
    assert clock(scripts, "ana") - START == pytest.approx(charged_s)


def test_a_job_that_is_given_up_later_is_not_charged_again(scripts):
    send(scripts, "ana", 2)
    job_id, tag, _ = scripts.take(START)
    scripts.give_back(tag, now=START + 4, lost_max=1)
    scripts.end(job_id, tag, State.DEAD, now=START + 60)
    assert clock(scripts, "ana") - START == pytest.approx(COST_S)


def test_a_retry_is_charged_for_each_run(scripts):
    send(scripts, "ana", 2)
    job_id, tag, _ = scripts.take(START)
    scripts.publish(job_id, 5, START + 2, retries=1)
    scripts.forget(tag)
    assert clock(scripts, "ana") - START == pytest.approx(2)
    job_id, tag, _ = scripts.take(START + 2)
    scripts.end(job_id, tag, now=START + 5)
    assert clock(scripts, "ana") - START == pytest.approx(5)


def test_a_host_that_slept_for_a_day_charges_an_hour(scripts):
    send(scripts, "ana", 2)
    job_id, tag, _ = scripts.take(START)
    scripts.end(job_id, tag, now=START + 86_400)
    assert clock(scripts, "ana") - START == pytest.approx(3600)


def test_a_clock_that_was_forgotten_while_a_long_job_ran_is_charged(scripts):
    send(scripts, "ana", 1)
    send(scripts, "ben", 9)
    taken = dict(scripts.take(START)[:2] for _ in range(2))
    scripts.client.delete(keys.tenant("cv", "ana"))
    scripts.end("ana-0", taken["ana-0"], now=START + 50)
    # Both waited when the job started alone: each second of it is worth two of the clock.
    assert clock(scripts, "ana") - START == pytest.approx(100)
    assert 0 < scripts.client.pttl(keys.tenant("cv", "ana")) <= 50_001
