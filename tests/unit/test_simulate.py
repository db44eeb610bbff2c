"""The simulator, held to queueing theory and to a slower simulation that sweeps nothing."""

import math
import random
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.simulate import Setup, regrets, simulate
from producer.simulate_jobs import Exponential, Fixed, Job, Measured, arrivals
from producer.simulate_report import STRICT, Experiment, summarise
from shared.aging import AgingPolicy
from shared.names import LEVELS

SEEDS = (1, 2, 3, 4)
JOBS = 100_000
WITHIN = 0.03
"""What the means of 400,000 jobs at these loads may be off; their standard error is near 1 %."""

ONE_SECOND = Exponential(1.0)
RATES = {0: 0.2, 5: 0.2, 9: 0.3}
LOAD = 0.7
# A third of the jobs are ten times as long as the others: mean 1, mean of squares 2.125.
UNEVEN = Measured((0.25, 0.25, 2.5))


@cache
def jobs_of(service, seed, scale=1.0, jobs=JOBS):
    return arrivals({level: rate * scale for level, rate in RATES.items()}, service, jobs, seed)


@cache
def mean_waits(service, policy, workers=1, scale=1.0, interval_s=1.0, seeds=SEEDS):
    """The mean wait of each level, and of all jobs, over the replications."""
    waits = {level: [] for level in RATES}
    for seed in seeds:
        jobs = jobs_of(service, seed, scale)
        run = simulate(jobs, Setup(policy, workers, interval_s))
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
    residual = LOAD * mean_square / 2
    expected, below = {}, 0.0
    for level, rate in RATES.items():
        expected[level] = residual / ((1 - below) * (1 - below - rate))
        below += rate
    assert by_level == {level: within(wait) for level, wait in expected.items()}


def test_several_workers_wait_as_erlang_says():
    workers = 4
    _, mean = mean_waits(ONE_SECOND, None, workers, scale=workers)
    assert mean == within(erlang_c(workers, workers * LOAD) / (workers * (1 - LOAD)))


def test_strict_levels_of_several_workers_wait_as_cobham_says():
    workers = 4
    by_level, _ = mean_waits(ONE_SECOND, STRICT, workers, scale=workers)
    residual = erlang_c(workers, workers * LOAD) / workers
    expected, below = {}, 0.0
    for level, rate in RATES.items():
        expected[level] = residual / ((1 - below) * (1 - below - rate))
        below += rate
    assert by_level == {level: within(wait) for level, wait in expected.items()}


def test_a_large_k_comes_to_first_come_first_served():
    by_level, _ = mean_waits(ONE_SECOND, AgingPolicy(1000), interval_s=0.1)
    expected = LOAD / (1 - LOAD)
    assert by_level == {level: within(expected) for level in RATES}


@pytest.mark.parametrize("k", [0.02, 0.5, 3])
def test_what_one_level_gains_another_loses(k):
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


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(
    ("k", "interval_s"), [(0.05, 1.0), (0.05, 0.7), (0.5, 1.0), (1.0, 0.1), (20.0, 1.0)]
)
def test_regret_is_less_than_the_interval_of_sweeps(k, interval_s, workers):
    policy = AgingPolicy(k)
    jobs = arrivals(dict.fromkeys(LEVELS, 0.102 * workers), ONE_SECOND, 20_000, seed=7)
    found = regrets(jobs, simulate(jobs, Setup(policy, workers, interval_s)), policy)
    assert len(found) == len(jobs)
    assert 0 <= min(found) <= max(found) < interval_s


def test_regret_is_what_an_urgent_job_gains_on_one_that_the_next_sweep_would_have_moved():
    policy = AgingPolicy(1.0)
    jobs = [Job(0.0, 0, 9.75), Job(0.0, 9, 1.0), Job(9.5, 0, 1.0)]
    late, in_time = (simulate(jobs, Setup(policy, interval_s=each)) for each in (10.0, 9.0))
    assert (late.taken, in_time.taken) == ([0, 2, 1], [0, 1, 2])
    assert regrets(jobs, late, policy) == [0.0, 0.5, 0.0]
    assert regrets(jobs, in_time, policy) == [0.0, 0.0, 0.0]


small_runs = st.fixed_dictionaries(
    {
        "levels": st.sets(st.sampled_from(LEVELS), min_size=1),
        "load": st.floats(0.5, 3),
        "k": st.floats(0.01, 20),
        "interval_s": st.floats(0.05, 5),
        "workers": st.integers(1, 3),
        "seed": st.integers(0, 2**32),
    }
)


def small(case, jobs=60):
    rate = case["load"] * case["workers"] / len(case["levels"])
    made = arrivals(dict.fromkeys(sorted(case["levels"]), rate), ONE_SECOND, jobs, case["seed"])
    return made, AgingPolicy(case["k"]), case["workers"], case["interval_s"]


@given(small_runs, st.integers(0, 2))
def test_a_job_is_overtaken_only_by_what_comes_within_its_head_start_and_one_sweep(case, reserved):
    jobs, policy, workers, interval_s = small(case)
    run = simulate(jobs, Setup(policy, workers, interval_s, reserved))
    place = {index: number for number, index in enumerate(run.taken)}
    for i, job in enumerate(jobs):
        for j in range(i + 1, len(jobs)):
            if place[j] < place[i]:
                levels_apart = job.level - jobs[j].level
                later_s = jobs[j].arrived_at - job.arrived_at
                assert later_s < levels_apart / policy.k_per_s + interval_s
                assert later_s < job.level / policy.k_per_s + interval_s


@given(small_runs)
def test_the_sweep_gives_the_order_of_looking_at_every_job(case):
    jobs, policy, workers, interval_s = small(case)
    run = simulate(jobs, Setup(policy, workers, interval_s))
    assert list(run.started_at) == pytest.approx(started_at_of(jobs, policy, workers, interval_s))


def started_at_of(jobs, policy, workers, interval_s):
    """Without lists: whoever starts next is found among all that wait."""
    started_at = {}
    free_at = [0.0] * workers
    while len(started_at) < len(jobs):
        free = min(free_at)
        left = [index for index in range(len(jobs)) if index not in started_at]
        now = max(free, jobs[left[0]].arrived_at)
        swept_at = math.floor(now / interval_s) * interval_s

        def rank(index, swept_at=swept_at):
            job = jobs[index]
            level = policy.level_at(job.arrived_at, job.level, swept_at)
            if job.arrived_at > swept_at:
                level = job.level
            return level, policy.virtual_time(job.arrived_at, job.level)

        index = min((each for each in left if jobs[each].arrived_at <= now), key=rank)
        started_at[index] = now
        free_at[free_at.index(free)] = now + jobs[index].service_s
    return [started_at[index] for index in range(len(jobs))]


@given(small_runs, st.sampled_from([None, 0.0, 0.5]), st.integers(0, 3))
def test_workers_run_one_job_each_and_none_idles_while_a_job_waits(case, k, reserved):
    jobs, _, workers, interval_s = small(case)
    policy = None if k is None else AgingPolicy(k)
    run = simulate(jobs, Setup(policy, workers, interval_s, reserved))
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
    experiment = Experiment(jobs, 1, 1.0, 0, lambda: None)
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
