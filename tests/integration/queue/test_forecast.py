"""Predicted waits, compared with the waits that the queue's own scripts make of simulated loads."""

import json
import math
from dataclasses import asdict

import pytest

from agewell.producer.simulate.jobs import Fixed
from agewell.shared.queue.forecast.facts import Ask
from agewell.shared.queue.forecast.load import QueueLoad
from agewell.shared.queue.forecast.predict import NO_WORKER, NOT_MEASURED, OVERTAKEN, Forecast
from agewell.shared.queue.paused_workers import say_paused
from agewell.shared.queue.status import queue_status
from agewell.shared.queue.tenants import TenantLimits, set_limits
from agewell.shared.redis import keys
from tests.support.ordering import START
from tests.support.programs import on_one_server
from tests.support.simulated_load import MEAN_S, RANDOM, SimulatedLoad, Stream

SLOTS = 4
FULL = SLOTS / MEAN_S
"""Jobs per second that the workers can do."""

WITHIN = 0.25


@pytest.fixture
def make(client):
    return lambda **given: SimulatedLoad(client, given.pop("slots", SLOTS), **given)


@pytest.fixture
def load(make):
    return make()


def quantile(values, part):
    return sorted(values)[int(part * len(values))]


def compare(waits, part):
    """The predicted and the simulated quantile."""
    return (
        quantile([each.predicted_s for each in waits], part),
        quantile([each.waited_s for each in waits], part),
    )


def means(waits):
    predicted = math.fsum(each.predicted_s for each in waits) / len(waits)
    return predicted, math.fsum(each.waited_s for each in waits) / len(waits)


def flood(load, count, **given):
    for _ in range(count):
        load.send(Stream(1.0, **given), predict=False)


def warm_up(load, **given):
    """Let upkeep learn how long jobs run, then let all of them end."""
    flood(load, 200, **given)
    load.run_until(load.now + 60)
    assert not load.running


# --- loads


@on_one_server
def test_at_load_0_8_waits_are_those_of_erlang_s_formula(load):
    waits = load.run([Stream(0.8 * FULL)], 150, 20)
    predicted, waited = means(waits)
    assert predicted == pytest.approx(waited, rel=0.12)
    told, was = compare(waits, 0.9)
    assert told == pytest.approx(was, rel=WITHIN)
    # P(wait > t) = C exp(-(c mu - lambda) t), and C = 0.596 for four servers at load 0.8.
    theory = math.log(0.5964 / 0.1) / (0.2 * FULL)
    assert told == pytest.approx(theory, rel=WITHIN)


@on_one_server
def test_a_job_behind_n_others_waits_for_n_plus_one_of_them(make):
    load = make(k_per_s=0.05)
    load.run([Stream(0.9 * FULL)], 100, 1e9)
    flood(load, 200)
    behind = load.client.zcard(keys.order("cv"))
    [mean_s] = [load_of(load).mean_run_s]
    assert mean_s == pytest.approx(MEAN_S, rel=0.1)
    assert load.estimate(5).wait_s == pytest.approx((behind + 1) * MEAN_S / SLOTS, rel=0.12)
    assert load.estimate(0).wait_s < 0.5  # ahead of all
    # Behind the flood come the arrivals of the last minute, less than it takes to start.
    assert load.estimate(9).wait_s > load.estimate(5).wait_s * 2


def load_of(load):
    return QueueLoad.of_text(load.client.get(keys.load("cv")))


LEVELS = ((2, 0.25), (5, 0.5), (9, 0.25))


@on_one_server
@pytest.mark.parametrize("total", [0.8, 1.2])
def test_levels(load, total):
    waits = load.run([Stream(total * part * FULL, level) for level, part in LEVELS], 80, 20)
    for level, _ in LEVELS:
        own = [each for each in waits if each.stream.level == level]
        predicted, waited = means(own)
        assert predicted == pytest.approx(waited, rel=0.15, abs=0.02), level
    for part in (0.5, 0.9):
        predicted, waited = compare(waits, part)
        assert predicted == pytest.approx(waited, rel=WITHIN, abs=MEAN_S / SLOTS), part


TENANTS = (
    (5, "ana", 0.5),
    (5, "ben", 0.2),
    (2, "ben", 0.1),
    (5, "lab/cy", 0.1),
    (5, "lab/di", 0.1),
)


@on_one_server
def test_tenants_who_send_more_than_their_share_wait_and_others_do_not(load):
    streams = [Stream(1.2 * part * FULL, level, name) for level, name, part in TENANTS]
    waits = load.run(streams, 70, 20)
    for stream in streams:
        own = [each for each in waits if each.stream == stream]
        predicted, waited = means(own)
        assert predicted == pytest.approx(waited, rel=WITHIN, abs=MEAN_S / SLOTS), stream
    for part in (0.5, 0.9):
        predicted, waited = compare(waits, part)
        assert predicted == pytest.approx(waited, rel=WITHIN), part


@on_one_server
def test_weights_and_members_of_a_team(client, make):
    parts = {"ana": 0.4, "ben": 0.4, "lab/cy": 0.15, "lab/di": 0.25}
    waits = []
    for seed in (1, 2):
        client.flushall()
        for name in ("ana", "lab/di"):
            set_limits(client, name, TenantLimits(weight=2), START)
        streams = [Stream(part * FULL, tenant=name) for name, part in parts.items()]
        waits += make(seed=seed).run(streams, 80, 20)
    for name in parts:
        own = [each for each in waits if each.stream.tenant == name]
        predicted, waited = means(own)
        assert predicted == pytest.approx(waited, rel=0.2, abs=MEAN_S / SLOTS), name


@on_one_server
def test_large_jobs_count_as_what_they_cost(load):
    """The jobs of one level have ten images, and so run ten times as long."""
    small = Stream(0.5 * FULL, 2, service=RANDOM)
    large = Stream(0.07 * FULL, 5, items=10, service=type(RANDOM)(10 * MEAN_S))
    waits = load.run([small, large], 150, 40)
    for stream in (small, large):
        own = [each for each in waits if each.stream == stream]
        predicted, waited = means(own)
        assert predicted == pytest.approx(waited, rel=0.3, abs=MEAN_S), stream


@on_one_server
def test_a_newcomer_waits_little_during_a_flood_of_thousands(load):
    warm_up(load, tenant="flood")
    flood(load, 2000, tenant="flood")
    assert load.estimate(5, "flood").wait_s == pytest.approx(2000 * MEAN_S / SLOTS, rel=0.15)
    assert load.estimate(5, "new").wait_s < 1.0
    before = load.now
    load.send(Stream(1.0, tenant="new"))
    load.run_until(before + 30)
    [new] = [each for each in load.waits if each.stream.tenant == "new"]
    assert new.waited_s < 1.0


@on_one_server
@pytest.mark.parametrize("tenants", [40, 200])
def test_a_newcomer_among_many_busy_tenants(make, tenants):
    """A third of them send urgent jobs, a third normal ones, and a third bulk jobs."""
    load, rate = make(k_per_s=0.5), 1.3 * FULL / tenants
    streams = [Stream(rate, (0, 5, 9)[n % 3], tenant=f"t{n}") for n in range(tenants)]
    load.run(streams, 60, math.inf)
    for number in range(30):
        load.run(streams, 1.5, math.inf)
        for level in (0, 5, 9):
            load.send(Stream(1.0, level, tenant=f"new{number}-{level}"))
    load.run(streams, 20, math.inf)
    load.run_until(load.now + 200)
    for level in (0, 5, 9):
        predicted, waited = means([each for each in load.waits if each.stream.level == level])
        assert predicted == pytest.approx(waited, rel=0.35, abs=MEAN_S), level


# --- limits


@on_one_server
def test_a_tenant_at_its_cap_waits_for_its_own_jobs(load):
    warm_up(load, tenant="ana", service=Fixed(1.0))
    set_limits(load.client, "ana", TenantLimits(max_running=1), load.now)
    flood(load, 11, tenant="ana", service=Fixed(1.0))
    assert load.client.scard(keys.tenant_running("ana")) == 1
    # One runs and ten wait; the eleventh starts when all of them have ended.
    assert load.estimate(5, "ana").wait_s == pytest.approx(11.0, rel=0.15)
    assert load.estimate(5, "ben") == Forecast(0.0)


@on_one_server
def test_a_tenant_at_its_rate_waits_for_it(load):
    warm_up(load, tenant="ana")
    set_limits(load.client, "ana", TenantLimits(rate_per_s=0.5), load.now)
    flood(load, 6, tenant="ana")
    assert load.estimate(5, "ana").wait_s == pytest.approx(12.0, abs=2.1)
    assert load.estimate(5, "ben") == Forecast(0.0)


# --- what cannot be told


def test_without_workers_nothing_is_predicted(make, client, settings):
    load = make(slots=0)
    client.delete(keys.worker_alive("cv@sim:1:x"))
    flood(load, 3)
    assert load.estimate() == Forecast(None, NO_WORKER)
    [cv] = [each for each in queue_status(client, settings, START) if each.queue == "cv"]
    assert (cv.slots, cv.no_prediction) == (0, NO_WORKER)
    assert {each.predicted_wait_s for each in cv.levels} == {None}


def test_paused_workers_do_not_count(load):
    say_paused(load.client, "cv@sim:1:x", "the store is away")
    assert load.estimate() == Forecast(None, NO_WORKER)


def test_a_job_starts_at_once_if_a_slot_is_free_and_is_unknown_if_nothing_was_measured(load):
    flood(load, SLOTS - 1)
    assert load.estimate(9) == Forecast(0.0)
    flood(load, 1)
    assert load.estimate(9) == Forecast(None, NOT_MEASURED)
    flood(load, 100)
    load.run_until(load.now + 3)
    assert load.estimate(9).wait_s > 0


def test_a_bulk_job_under_strict_levels_that_never_starts_has_no_wait(make, settings):
    load = make(k_per_s=0.0)
    load.run([Stream(1.5 * FULL, 0), Stream(0.1 * FULL, 9)], 20, 1e9)
    assert load.estimate(9) == Forecast(None, OVERTAKEN)
    assert load.estimate(0).wait_s < 20
    found = queue_status(load.client, load.settings, load.now)
    assert json.loads(json.dumps([asdict(each) for each in found], allow_nan=False))


def test_cancelled_jobs_do_not_look_like_jobs_that_ran(load):
    load.run([Stream(0.9 * FULL)], 30, 1e9)
    before = load_of(load).mean_run_s
    ids = [load.send(Stream(1.0, 9), predict=False) for _ in range(300)]
    load.run([Stream(0.9 * FULL)], 3, 1e9)
    for job_id in ids:
        if load.scripts.cancel(job_id):
            load.sent.pop(job_id)
    load.run([Stream(0.9 * FULL)], 5, 1e9)
    assert load_of(load).mean_run_s == pytest.approx(before, rel=0.15)


def test_messages_of_plain_clients_count_before_they_are_admitted(load):
    load.run([Stream(0.5 * FULL)], 20, 1e9)
    flood(load, SLOTS)
    before = load.estimate(5).wait_s
    load.scripts.push_all([f"plain{number}" for number in range(100)], 5)
    expected = 100 * MEAN_S / SLOTS
    assert load.estimate(5).wait_s - before == pytest.approx(expected, rel=0.2)
    assert load.estimate(2).wait_s < 1.0


def test_a_scheduled_job_counts_when_it_is_due(load):
    load.run([Stream(0.5 * FULL)], 20, 1e9)
    flood(load, SLOTS)
    before = load.estimate(5)
    for number in range(50):
        load.client.zadd(keys.scheduled("cv"), {f"{number:014d}later": load.now + 5})
    assert load.estimate(5) == before
    load.now += 6
    assert load.estimate(5).wait_s > before.wait_s + 1


def test_an_ask_names_the_level_and_the_tenant():
    assert Ask() == (5, None)


def test_counts_of_arrivals_stay_few_without_upkeep(load):
    most = 0
    for number in range(2100):
        load.scripts.publish(f"j{number}", 5, load.now, tenant=f"t{number}")
        most = max(most, load.client.hlen(keys.arrived("cv")))
    assert most == 2000
    assert load.client.hlen(keys.arrived("cv")) < 110
