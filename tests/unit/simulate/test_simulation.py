"""The simulator, held to queueing theory and to a slower simulation that looks at every job."""

import math
import random
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agewell.producer.simulate.jobs import Exponential, Fixed, Job, Measured, arrivals
from agewell.producer.simulate.report import STRICT, Experiment, summarise
from agewell.producer.simulate.simulation import Setup, simulate
from agewell.shared.protocol.aging import AgingPolicy
from agewell.shared.protocol.levels import LEVELS

SEEDS = (1, 2, 3, 4)
JOBS = 100_000
WITHIN = 0.03
"""Relative error allowed in means of 400,000 jobs. Their standard error is near 1 %."""

ROUNDING_S = 1e-6
ONE_SECOND = Exponential(1.0)
RATES = {0: 0.2, 5: 0.2, 9: 0.3}
LOAD = 0.7
# A third of the jobs are ten times as long as the others: mean 1, mean of squares 2.125.
UNEVEN = Measured((0.25, 0.25, 2.5))


@cache
def jobs_of(service, seed, scale=1.0, jobs=JOBS):
    return arrivals({level: rate * scale for level, rate in RATES.items()}, service, jobs, seed)


@cache
def mean_waits(service, policy, workers=1, scale=1.0, seeds=SEEDS):
    """The mean wait of each level, and of all jobs, over the replications."""
    waits = {level: [] for level in RATES}
    for seed in seeds:
        jobs = jobs_of(service, seed, scale)
        run = simulate(jobs, Setup(policy, workers))
        for job, started_at in zip(jobs, run.started_at, strict=True):
            waits[job.level].append(started_at - job.arrived_at)
    every = [wait for each in waits.values() for wait in each]
    return {level: math.fsum(each) / len(each) for level, each in waits.items()}, (
        math.fsum(every) / len(every)
    )


def within(wait, part=WITHIN):
    return pytest.approx(wait, rel=part)


def erlang_c(servers, offered):
    """The probability that a job must wait (Erlang 1917)."""
    blocked = 1.0  # Erlang B, by its recursion
    for each in range(1, servers + 1):
        blocked = offered * blocked / (each + offered * blocked)
    return blocked / (1 - offered / servers * (1 - blocked))


def cobham(residual):
    """The mean wait of each strict level (Cobham 1954), of the work that an arrival finds begun."""
    expected, below = {}, 0.0
    for level, rate in RATES.items():
        expected[level] = residual / ((1 - below) * (1 - below - rate))
        below += rate
    return expected


@pytest.mark.parametrize(
    ("service", "mean_square"), [(ONE_SECOND, 2.0), (Fixed(1.0), 1.0), (UNEVEN, 2.125)]
)
def test_first_come_first_served_waits_as_pollaczek_and_khinchine_say(service, mean_square):
    by_level, mean = mean_waits(service, None)
    expected = LOAD * mean_square / 2 / (1 - LOAD)
    assert mean == within(expected)
    assert by_level == {level: within(expected) for level in RATES}


@pytest.mark.parametrize(("service", "mean_square"), [(ONE_SECOND, 2.0), (Fixed(1.0), 1.0)])
def test_strict_levels_wait_as_cobham_says(service, mean_square):
    by_level, _ = mean_waits(service, STRICT)
    expected = cobham(LOAD * mean_square / 2)
    assert by_level == {level: within(wait) for level, wait in expected.items()}


def test_several_workers_wait_as_erlang_says():
    workers = 4
    _, mean = mean_waits(ONE_SECOND, None, workers, scale=workers)
    assert mean == within(erlang_c(workers, workers * LOAD) / (workers * (1 - LOAD)))


def test_strict_levels_of_several_workers_wait_as_cobham_says():
    workers = 4
    by_level, _ = mean_waits(ONE_SECOND, STRICT, workers, scale=workers)
    expected = cobham(erlang_c(workers, workers * LOAD) / workers)
    assert by_level == {level: within(wait) for level, wait in expected.items()}


def test_a_large_k_comes_to_first_come_first_served():
    by_level, _ = mean_waits(ONE_SECOND, AgingPolicy(1000))
    expected = LOAD / (1 - LOAD)
    assert by_level == {level: within(expected) for level in RATES}


@pytest.mark.parametrize("k", [0.02, 0.5, 3])
def test_one_levels_gain_is_anothers_loss(k):
    """Kleinrock's conservation law: the sum of load x wait is the same in every order."""
    by_level, _ = mean_waits(ONE_SECOND, AgingPolicy(k))
    found = sum(RATES[level] * by_level[level] for level in RATES)
    assert found == within(LOAD * LOAD / (1 - LOAD))
    strict, _ = mean_waits(ONE_SECOND, STRICT)
    assert found == within(sum(RATES[level] * strict[level] for level in RATES), 0.001)


def test_the_faster_jobs_age_the_less_bulk_waits_and_the_more_urgent():
    ks = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
    jobs = jobs_of(ONE_SECOND, 1, 1.3, jobs=40_000)
    found = [
        summarise(jobs, simulate(jobs, setup), setup).waits
        for setup in (Setup(AgingPolicy(k)) for k in ks)
    ]
    urgent, bulk = ([waits[level].mean for waits in found] for level in (0, 9))
    luck = 1.005  # which of the jobs that change places are the longer ones
    assert all(more * luck >= less for less, more in pairwise(urgent))
    assert all(less <= more * luck for more, less in pairwise(bulk))
    assert urgent[-1] > 5 * urgent[0]
    assert bulk[0] > 1.2 * bulk[-1]
    longest = [waits[9].longest for waits in found]
    assert longest[-1] < longest[0]


small_runs = st.fixed_dictionaries(
    {
        "levels": st.sets(st.sampled_from(LEVELS), min_size=1),
        "load": st.floats(0.5, 3),
        "k": st.floats(0.01, 20),
        "workers": st.integers(1, 3),
        "seed": st.integers(0, 2**32),
    }
)


def small(case, jobs=60):
    rate = case["load"] * case["workers"] / len(case["levels"])
    made = arrivals(dict.fromkeys(sorted(case["levels"]), rate), ONE_SECOND, jobs, case["seed"])
    return made, AgingPolicy(case["k"]), case["workers"]


@given(small_runs, st.integers(0, 2))
def test_only_jobs_within_its_head_start_overtake_a_job(case, reserved):
    jobs, policy, workers = small(case)
    run = simulate(jobs, Setup(policy, workers, reserved))
    place = {index: number for number, index in enumerate(run.taken)}
    for i, job in enumerate(jobs):
        for j in range(i + 1, len(jobs)):
            if place[j] < place[i]:
                levels_apart = job.level - jobs[j].level
                later_s = jobs[j].arrived_at - job.arrived_at
                assert later_s < levels_apart / policy.k_per_s + ROUNDING_S
                assert later_s < job.level / policy.k_per_s + ROUNDING_S


@given(small_runs)
def test_the_order_is_that_of_looking_at_every_job(case):
    jobs, policy, workers = small(case)
    run = simulate(jobs, Setup(policy, workers))
    assert list(run.started_at) == pytest.approx(started_at_of(jobs, policy, workers))


def started_at_of(jobs, policy, workers):
    """Whoever starts next has the largest w = e^(k t - level) of all that wait."""
    started_at = {}
    free_at = [0.0] * workers
    while len(started_at) < len(jobs):
        free = min(free_at)
        left = [index for index in range(len(jobs)) if index not in started_at]
        now = max(free, jobs[left[0]].arrived_at)

        def weight(index, now=now):
            job = jobs[index]
            return policy.k_per_s * (now - job.arrived_at) - job.level, -index

        index = max((each for each in left if jobs[each].arrived_at <= now), key=weight)
        started_at[index] = now
        free_at[free_at.index(free)] = now + jobs[index].service_s
    return [started_at[index] for index in range(len(jobs))]


@given(small_runs, st.sampled_from([None, 0.0, 0.5]), st.integers(0, 3))
def test_workers_run_one_job_each_and_none_idles_while_a_job_waits(case, k, reserved):
    jobs, _, workers = small(case)
    policy = None if k is None else AgingPolicy(k)
    run = simulate(jobs, Setup(policy, workers, reserved))
    assert sorted(run.taken) == list(range(len(jobs)))
    ends = [start + job.service_s for start, job in zip(run.started_at, jobs, strict=True)]
    assert run.ended_at == max(ends)
    for job, start in zip(jobs, run.started_at, strict=True):
        assert start >= job.arrived_at
        busy = sum(s <= start < e for s, e in zip(run.started_at, ends, strict=True))
        assert busy <= workers
        if start > job.arrived_at and reserved == 0:
            before = sum(s < start <= e for s, e in zip(run.started_at, ends, strict=True))
            assert before == workers


def test_a_reserved_job_is_out_of_reach_of_a_more_urgent_one():
    jobs = [Job(0.0, 9, 5.0), Job(1.0, 9, 5.0), Job(2.0, 0, 5.0)]
    started = [simulate(jobs, Setup(STRICT, reserved=each)).started_at for each in (0, 1)]
    assert started == [[0.0, 10.0, 5.0], [0.0, 5.0, 10.0]]


def test_the_same_seed_gives_the_same_jobs():
    made = [arrivals(RATES, ONE_SECOND, 100, seed) for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2]


def test_jobs_come_at_the_rates_that_were_asked_for():
    jobs = jobs_of(UNEVEN, 1)
    for level, rate in RATES.items():
        assert sum(job.level == level for job in jobs) / jobs[-1].arrived_at == within(rate)
    assert math.fsum(job.service_s for job in jobs) / len(jobs) == within(1.0)


def test_percentiles_are_of_the_waits_themselves():
    jobs = [Job(0.0, 9, 1.0)] * 100
    setup = Setup(STRICT)
    [waits] = summarise(jobs, simulate(jobs, setup), setup).waits.values()
    found = (waits.jobs, waits.mean, waits.p50, waits.p95, waits.p99, waits.longest)
    assert found == (100, 49.5, 49.0, 94.0, 98.0, 99.0)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_k_that_is_found_keeps_the_target_and_a_smaller_one_does_not(seed):
    jobs = arrivals(RATES, Exponential(1.4), 3_000, seed)
    experiment = Experiment(jobs, 1, 0, lambda: None)
    strict, fifo = (experiment.under(each).waits[9].p99 for each in (STRICT, None))
    limit_s = (strict + fifo) / 2
    found = experiment.smallest_k(9, "p99", limit_s)
    assert found.waits[9].p99 <= limit_s
    smaller = AgingPolicy(found.policy.k_per_s * 0.85)
    assert experiment.under(smaller).waits[9].p99 > limit_s
    assert experiment.smallest_k(9, "p99", strict).policy == STRICT
    assert experiment.smallest_k(9, "p99", fifo * 0.5) is None


def test_two_hundred_thousand_jobs_are_a_matter_of_seconds():
    rng = random.Random(1)
    jobs = [Job(at / 10, rng.choice((0, 9)), 0.099) for at in range(200_000)]
    assert simulate(jobs, Setup(AgingPolicy(0.05))).ended_at > 19_000
