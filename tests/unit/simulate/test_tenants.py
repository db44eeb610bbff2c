"""Simulated tenants, held to arithmetic, to theory, and to the simulator without tenants."""

import math
import statistics
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agewell.producer.simulate.fluid import Fluid, divided
from agewell.producer.simulate.jobs import Fixed, Job
from agewell.producer.simulate.simulation import Setup, simulate
from agewell.producer.simulate.tenant_jobs import TenantJob, tenant_arrivals
from agewell.producer.simulate.tenant_report import jains_index
from agewell.shared.queue.tenants import TenantLimits
from tests.unit.simulate.tenant_loads import POLICY, RANDOM, ROUNDING_S, compared, ran, stream

# --- jobs


def test_a_stream_has_the_same_jobs_whatever_else_is_sent():
    a, b = stream("a", rate=2, service=RANDOM), stream("b", rate=5, burst=7, service=RANDOM)
    alone = [each.job for each in tenant_arrivals([a], 100, 1000, 1)]
    both = tenant_arrivals([b, a], 100, 10_000, 1)
    assert [each.job for each in both if each.stream == 1] == alone
    assert [each.job for each in tenant_arrivals([a], 100, 1000, 2)] != alone
    assert [each.job.arrived_at for each in both[:7]] == [0.0] * 7
    assert both == sorted(both, key=lambda each: each.job.arrived_at)


def test_streams_send_at_their_rates_until_the_end():
    jobs = tenant_arrivals([stream("a", rate=3), stream("b", rate=1)], 10_000, 10**6, 1)
    counts = [sum(each.stream == number for each in jobs) for number in (0, 1)]
    assert counts == [pytest.approx(30_000, rel=0.02), pytest.approx(10_000, rel=0.03)]
    assert len(tenant_arrivals([stream("a", rate=3, burst=5)], math.inf, 50, 1)) == 50


# --- the order


@pytest.mark.parametrize("workers", [1, 3])
def test_one_tenant_s_jobs_keep_the_order_of_aging(workers):
    streams = [stream("a", rate=workers * 0.4, level=level, service=RANDOM) for level in (0, 5, 9)]
    jobs, started_at = ran(streams, workers=workers, most=3000)
    plain = simulate([each.job for each in jobs], Setup(POLICY, workers))
    assert started_at == plain.started_at


def test_tenants_share_waits_but_make_none_vanish():
    """Kleinrock's conservation law: with equal run times the mean wait of all is the same."""
    streams = [stream(name, rate=0.2, service=RANDOM) for name in "abcd"]
    jobs, started_at = ran(streams, most=200_000)
    waits = [at - each.job.arrived_at for each, at in zip(jobs, started_at, strict=True)]
    assert statistics.mean(waits) == pytest.approx(0.8 / (1 - 0.8), rel=0.05)


tenants = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "t/x", "t/y"]),
        st.floats(0.2, 2),
        st.integers(0, 10),
        st.sampled_from([0.5, 1.0, 4.0]),
        st.sampled_from([0, 0, 1, 2]),
        st.sampled_from([0.0, 0.0, 0.7]),
    ),
    min_size=1,
    unique_by=lambda each: each[0],
)


@given(tenants, st.integers(1, 3), st.integers(0, 100))
def test_limits_hold_and_no_worker_idles_while_a_job_may_run(found, workers, seed):
    streams = [
        stream(name, rate=rate, burst=burst, service=RANDOM) for name, rate, burst, *_ in found
    ]
    limits = {name: TenantLimits(*rest) for name, _, _, *rest in found}
    jobs, starts = ran(streams, limits, workers=workers, most=60, seed=seed)
    spans = [
        (streams[each.stream].tenant, each.job.arrived_at, start, start + each.job.service_s)
        for each, start in zip(jobs, starts, strict=True)
    ]
    for name, came, start, _ in spans:
        others = [each for each in spans if each[2] <= start < each[3]]
        assert start >= came
        assert len(others) <= workers
        own = [each for each in others if each[0] == name]
        assert len(own) <= (limits[name].max_running or workers)
        free = not limits[name].max_running and not limits[name].rate_per_s
        if start > came and free:
            assert sum(each[2] < start <= each[3] for each in spans) == workers
    for name, limit in limits.items():
        at = sorted(each[2] for each in spans if each[0] == name)
        if limit.rate_per_s:
            gaps = [later - earlier for earlier, later in pairwise(at)]
            assert all(gap >= 1 / limit.rate_per_s - ROUNDING_S for gap in gaps)


# --- what is due


needs = st.dictionaries(st.text("abc", min_size=1), st.floats(0, 100), min_size=1)


@given(needs, st.data(), st.floats(0, 300))
def test_a_total_is_divided_by_weights_up_to_the_needs(needed, data, total):
    weights = {name: data.draw(st.floats(0.1, 10)) for name in needed}
    parts = divided(needed, weights, total)
    assert sum(parts.values()) == pytest.approx(min(total, sum(needed.values())), abs=1e-9)
    assert all(parts[name] <= needed[name] for name in needed)
    level = max(parts[name] / weights[name] for name in needed)
    for name in needed:  # whoever got less than the most for its weight needed no more
        less = parts[name] / weights[name] < level - 1e-9
        assert not less or parts[name] == pytest.approx(needed[name], abs=1e-9)


def test_a_fluid_serves_those_who_wait_by_weight_and_gives_the_rest_to_others():
    streams = [stream("a"), stream("b"), stream("t/x"), stream("t/y")]
    jobs = [TenantJob(Job(0.0, 5, need), number) for number, need in enumerate((100, 1, 100, 100))]
    fluid = Fluid(jobs, streams, {"a": TenantLimits(3), "t/y": TenantLimits(2)}, 10)
    # b needs 1 of 10. The rest goes 3 : 1 to a and the team, and the team's 1 : 2 to x and y.
    found = fluid.step(1.0, 1.0)
    assert found == pytest.approx({"a": 6.75, "b": 1.0, "t/x": 0.75, "t/y": 1.5})


def test_a_limit_bounds_what_is_due():
    streams = [stream("a"), stream("b"), stream("c")]
    jobs = [TenantJob(Job(0.0, 5, 2.0), number % 3) for number in range(300)]
    limits = {"a": TenantLimits(max_running=1), "b": TenantLimits(rate_per_s=0.25)}
    found = Fluid(jobs, streams, limits, 10).step(1.0, 1.0)
    assert found == pytest.approx({"a": 1.0, "b": 0.5, "c": 8.5})


@pytest.mark.parametrize(
    ("shares", "index"), [([2, 2, 2], 1.0), ([1, 0, 0, 0], 0.25), ([1, 3], 16 / 20), ([0, 0], 1.0)]
)
def test_jains_index_is_that_of_its_definition(shares, index):
    assert jains_index(shares) == pytest.approx(index)


# --- what tenants change


def test_two_equal_floods_share_alike_and_without_tenants_the_first_comes_first():
    streams = [stream("a", burst=500), stream("b", burst=500)]
    fair, plain = compared(streams, until=500.0)
    for found in fair.tenants.values():
        assert found.share == pytest.approx(0.5, abs=0.002)
        assert found.due == pytest.approx(0.5)
    assert fair.fairness > 0.999
    assert (plain.tenants["a"].share, plain.tenants["b"].share) == (pytest.approx(1), 0)
    assert plain.fairness == pytest.approx(0.5)
    assert plain.tenants["b"].waits[5].mean == pytest.approx(500 + 499 / 2)
    assert plain.tenants["b"].lag_s == pytest.approx(250, abs=1)


def test_ten_tenants_under_overload_get_their_weights():
    within = 3 * 0.1 / 240  # three jobs of 240 s of work
    streams = [
        stream(f"t{number}", rate=1.5 * 20 * number / 55, burst=10 * number, service=Fixed(0.1))
        for number in range(1, 11)
    ]
    limits = {f"t{number}": TenantLimits(number) for number in range(1, 11)}
    fair, plain = compared(streams, limits, workers=2, until=120.0)
    for number in range(1, 11):
        found = fair.tenants[f"t{number}"]
        assert found.due == pytest.approx(number / 55, rel=1e-6)
        assert found.share == pytest.approx(number / 55, rel=0.02, abs=within)
    assert fair.fairness > plain.fairness


def test_a_team_of_many_gets_as_much_as_one_tenant():
    streams = [stream(f"t/{number}", burst=200) for number in range(9)]
    streams.append(stream("alone", burst=1000))
    fair, _ = compared(streams, until=1000.0)
    assert fair.tenants["alone"].share == pytest.approx(0.5, rel=0.01)
    assert fair.tenants["alone"].due == pytest.approx(0.5)
    for number in range(9):
        assert fair.tenants[f"t/{number}"].share == pytest.approx(0.5 / 9, rel=0.05)


@pytest.mark.parametrize("urgent", [0, 5])
def test_a_tenant_with_less_urgent_jobs_gets_its_share_once_the_others_used_their_head_start(
    urgent,
):
    """Two floods on levels that are worth seconds. The less urgent one is behind for that time."""
    streams = [stream("a", rate=3, level=urgent), stream("b", rate=3, level=9)]
    jobs, started_at = ran(streams, workers=2, most=6000)
    middle = [
        streams[each.stream].tenant
        for each, at in zip(jobs, started_at, strict=True)
        if 300 < at < 900
    ]
    assert middle.count("b") / len(middle) == pytest.approx(0.5, abs=0.03)
