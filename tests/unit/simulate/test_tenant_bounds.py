"""The bounds on the page about tenants, over some loads. A service time is 1 s on average."""

import statistics

import pytest

from agewell.producer.simulate.tenant_jobs import TenantJob, tenant_arrivals
from agewell.producer.simulate.tenant_run import TenantRun
from agewell.shared.queue.tenants import TenantLimits
from tests.unit.simulate.tenant_loads import (
    POLICY,
    RANDOM,
    ROUNDING_S,
    SECOND,
    UNEVEN,
    compared,
    stream,
)


def newcomers_waits(floods, workers, service, *, weighted, seed):
    """Waits of tenants that send their first job while others flood the queue."""
    weights = [1.0 + number if weighted else 1.0 for number in range(floods)]
    streams = [
        stream(f"flood{number}", rate=1.5 * workers / floods, burst=20, service=service)
        for number in range(floods)
    ]
    limits = {f"flood{number}": TenantLimits(weight) for number, weight in enumerate(weights)}
    came = [30.0 + 10.37 * number for number in range(45)]
    newcomers = [stream(f"new{number}", burst=1, service=service) for number in range(45)]
    made = tenant_arrivals(streams, 500.0, 1_000_000, seed)
    made += [
        TenantJob(each.job._replace(arrived_at=came[each.stream]), floods + each.stream)
        for each in tenant_arrivals(newcomers, 500.0, 1_000_000, seed)
    ]
    made.sort(key=lambda each: each.job.arrived_at)
    run = TenantRun(made, streams + newcomers, limits, POLICY, workers)
    run.run(lambda _: None)
    return [
        at - each.job.arrived_at
        for each, at in zip(made, run.started_at, strict=True)
        if each.stream >= floods
    ]


@pytest.mark.parametrize("workers", [1, 2, 8])
@pytest.mark.parametrize("floods", [1, 3, 10, 30])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_newcomer_waits_for_a_running_job_and_about_one_of_each_flood(workers, floods, weighted):
    waits = newcomers_waits(floods, workers, SECOND, weighted=weighted, seed=1)
    assert max(waits) <= 2 + floods / workers + ROUNDING_S


@pytest.mark.parametrize("workers", [1, 2, 8])
@pytest.mark.parametrize("floods", [1, 3, 10, 30])
@pytest.mark.parametrize("service", [RANDOM, UNEVEN])
def test_a_newcomer_s_mean_wait_is_about_that_if_run_times_vary(workers, floods, service):
    waits = [
        wait
        for weighted in (False, True)
        for seed in (1, 2)
        for wait in newcomers_waits(floods, workers, service, weighted=weighted, seed=seed)
    ]
    assert statistics.mean(waits) <= 1.1 * (1 + floods / workers)
    assert max(waits) <= 20 + floods / workers


def floods_of(weights, workers, service, seconds):
    total = sum(weights)
    return [
        stream(
            f"t{number}",
            rate=1.5 * workers * weight / total,
            burst=20 + int(0.1 * seconds * workers * weight / total),
            service=service,
        )
        for number, weight in enumerate(weights)
    ], {f"t{number}": TenantLimits(weight) for number, weight in enumerate(weights)}


@pytest.mark.parametrize("workers", [1, 2, 8])
@pytest.mark.parametrize("weights", [[1, 1], [1, 2], [1] * 10, range(1, 11)])
def test_a_share_lags_by_few_jobs(workers, weights):
    streams, limits = floods_of(weights, workers, SECOND, 2000.0)
    fair, _ = compared(streams, limits, workers=workers, until=2000.0)
    assert max(each.lag_s for each in fair.tenants.values()) <= {1: 2, 2: 2, 8: 12}[workers]


@pytest.mark.parametrize("service", [RANDOM, UNEVEN])
@pytest.mark.parametrize("workers", [1, 2, 8])
@pytest.mark.parametrize("weights", [[1, 1], [1] * 10, range(1, 11)])
def test_a_share_lags_by_few_jobs_if_run_times_vary(service, workers, weights):
    streams, limits = floods_of(weights, workers, service, 2000.0)
    fair, _ = compared(streams, limits, workers=workers, until=2000.0)
    for found in fair.tenants.values():
        assert found.share >= 0.99 * found.due
        assert found.lag_s <= 12


@pytest.mark.parametrize("load", [0.01, 0.1, 0.3])
@pytest.mark.parametrize("workers", [2, 8])
@pytest.mark.parametrize("service", [SECOND, RANDOM, UNEVEN])
def test_a_flooder_pays_for_what_others_use(load, workers, service):
    streams = [
        stream("flood", burst=3200, service=service),
        stream("other", rate=load * workers, service=service),
    ]
    fair, plain = compared(streams, workers=workers, until=3200 / workers)
    waits, before = (each.tenants["flood"].waits[5] for each in (fair, plain))
    assert waits.mean <= 1.02 * before.mean / (1 - load)
    others = [each.tenants["other"].waits[5].mean for each in (fair, plain)]
    assert others[0] < 0.01 * others[1]
    assert fair.utilisation == pytest.approx(plain.utilisation, abs=0.01)
