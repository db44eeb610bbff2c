"""The measured load of a queue, held to the arrivals and run times of simulated ticks."""

import random

import pytest

from agewell.shared.queue.forecast.costs import Costs, spread, work_before
from agewell.shared.queue.forecast.load import QueueLoad
from agewell.workers.maintenance.load import MOST_NAMES, Tick, updated

START = 1_700_000_000.0


def ticks(count, arrived, waiting, running, runs=None, load=None, every_s=1.0):
    """The load after some ticks. The numbers may depend on that of the tick."""
    load = load or updated(QueueLoad(), Tick(START, {}, waiting(0), running(0), {}))
    began = load.at
    for number in range(1, count + 1):
        n = running(number)
        found = runs(number) if runs else {"5 hsv": (n, n, n * 0.1)} if n else {}
        tick = Tick(began + number * every_s, arrived(number), waiting(number), n, found)
        load = updated(load, tick)
    return load


def costs(load, **per_image_s):
    known = {name.encode(): str(value).encode() for name, value in per_image_s.items()}
    return Costs(known, load)


def test_nothing_is_known_before_a_job_has_ended():
    load = ticks(30, lambda n: {"5": 4} if n == 1 else {}, lambda n: 0, lambda n: 4 * (n > 0))
    assert load.mean_run_s is None


def test_the_mean_run_time_is_the_busy_time_divided_by_the_ends():
    """Four slots that end 20 jobs a second: each takes 0.2 s."""
    load = ticks(30, lambda n: {"5": 24}, lambda n: 4 * n, lambda n: 4)
    assert load.mean_run_s == pytest.approx(0.2, rel=0.01)
    assert costs(load, hsv=7.0).run_s(b"hsv", b"3") == pytest.approx(0.6, rel=0.01)


@pytest.mark.parametrize(("age_s", "variation"), [(0.1, 0.0), (0.2, 1.0), (0.15, 0.5), (5, 1.0)])
def test_the_ages_of_running_jobs_tell_how_much_run_times_vary(age_s, variation):
    """Renewal theory: equal run times are half over on average, exponential ones have no memory."""
    runs = lambda n: {"5 hsv": (4, 4, 4 * age_s)}  # noqa: E731
    load = ticks(30, lambda n: {"5": 20}, lambda n: 0, lambda n: 4, runs)
    assert load.variation == pytest.approx(variation, abs=0.02)


def test_jobs_longer_than_the_window_are_measured_whole():
    """One slot, and one job every ten minutes."""
    arrived = lambda n: {"5": 1} if n % 600 == 0 else {}  # noqa: E731
    load = ticks(6001, arrived, lambda n: 0, lambda n: 1, load=None)
    assert load.mean_run_s == pytest.approx(600, rel=0.1)


def test_rates_forget_what_was_minutes_ago():
    load = ticks(300, lambda n: {"5": 10} if n <= 100 else {}, lambda n: 0, lambda n: 0)
    assert load.arrivals["5"] / load.seconds < 0.5
    load = ticks(60, lambda n: {"5": 3, "2 ana": 6}, lambda n: 0, lambda n: 0)
    assert load.arrivals["5"] / load.seconds == pytest.approx(3, rel=0.02)
    assert load.arrivals["2 ana"] / load.seconds == pytest.approx(6, rel=0.02)


def test_a_folder_that_is_sent_at_once_is_no_stream():
    load = ticks(60, lambda n: {"5": 500} if n == 50 else {"2": 3}, lambda n: 0, lambda n: 0)
    assert load.arrivals["5"] / load.seconds < 0.2
    assert load.arrivals["2"] / load.seconds == pytest.approx(3, rel=0.05)


def test_a_few_jobs_of_each_of_hundreds_of_tenants_at_once_are_no_stream():
    crowd = {f"2 t{number}": 3 for number in range(300)}
    load = ticks(60, lambda n: crowd if n == 50 else {"2": 3}, lambda n: 0, lambda n: 0)
    of_tenants = sum(count for name, count in load.arrivals.items() if name != "2")
    assert of_tenants / load.seconds < 1.5  # 900 jobs would be more than 15 a second
    assert load.arrivals["2"] / load.seconds == pytest.approx(3, rel=0.1)


def test_a_burst_of_many_seconds_is_expected_no_more_when_it_is_over():
    """Forty jobs a second for 15 s, then five as before. The other level goes on."""
    runs = lambda n: {"2 hsv": (4, 4, 0)}  # noqa: E731
    arrived = lambda n: {"2": 40 if 60 < n <= 75 else 5, "5": 3}  # noqa: E731
    for after, most in ((5, 9.0), (20, 7.0)):
        load = ticks(75 + after, arrived, lambda n: 0, lambda n: 4, runs)
        known = costs(load, hsv=1.0)
        rates = {level: work for (level, _), work in known.work_rates(load.at).items()}
        assert 4.5 < rates[2] / known.run_s_at(2) < most, after
        assert rates[5] / known.run_s_at(5) == pytest.approx(3, rel=0.05)


def test_a_steady_stream_is_not_taken_for_a_burst_that_is_over():
    rng = random.Random(3)
    counts = [sum(rng.random() < 0.05 for _ in range(100)) for _ in range(400)]
    runs = lambda n: {"5 hsv": (4, 4, 0)}  # noqa: E731
    found = []
    for upto in range(100, 400, 10):
        load = ticks(upto, lambda n: {"5": counts[n - 1]}, lambda n: 0, lambda n: 4, runs)
        known = costs(load, hsv=1.0)
        found.append(known.work_rates(load.at)[5, None] / known.run_s_at(5))
    assert sum(found) / len(found) == pytest.approx(5, rel=0.1)


def test_a_stream_that_begins_is_measured_within_a_minute():
    load = ticks(120, lambda n: {"5": 24} if n > 60 else {}, lambda n: 0, lambda n: 0)
    plain = 24 * (1 - 2.718281828**-1) / (1 - 2.718281828**-2)  # an average over 60 s
    assert load.arrivals["5"] / load.seconds == pytest.approx(plain, rel=0.2)


def test_rates_of_random_arrivals_are_right_on_average():
    rng = random.Random(1)
    counts = [sum(rng.random() < 0.02 for _ in range(100)) for _ in range(2000)]
    found = []
    for first in range(0, 2000, 200):
        part = counts[first : first + 200]
        load = ticks(200, lambda n, part=part: {"5": part[n - 1]}, lambda n: 0, lambda n: 0)
        found.append(load.arrivals["5"] / load.seconds)
    assert sum(found) / len(found) == pytest.approx(2.0, rel=0.1)


def test_jobs_that_ended_before_they_ran_are_not_runs():
    """A hundred jobs come and are cancelled, beside 20 that run in each second."""
    arrived = lambda n: {"5": 120, "gone": 100}  # noqa: E731
    load = ticks(30, arrived, lambda n: 0, lambda n: 4)
    assert load.mean_run_s == pytest.approx(0.2, rel=0.01)
    assert "gone" not in load.arrivals


def test_what_ran_while_upkeep_was_away_is_unknown():
    load = ticks(30, lambda n: {"5": 20}, lambda n: 0, lambda n: 4)
    later = updated(load, Tick(load.at + 3600, {"5": 5}, 0, 4, {"5 hsv": (4, 4, 0)}))
    assert (later.ends, later.runs) == (load.ends, load.runs)


def test_the_run_times_of_levels_follow_their_images_and_the_costs_of_operations():
    """Level 9 has ten images of a slow operation, level 2 one of a fast one: 100 times as long."""
    runs = lambda n: {"2 flip": (2, 2, 0), "9 poisson": (2, 0.2, 0)}  # noqa: E731
    # Costs say 0.01 s and 0.1 s an image. Really it takes twice as long: 100 and 1 jobs a second.
    arrived = lambda n: {"2": 100, "9": 1}  # noqa: E731
    load = ticks(60, arrived, lambda n: 0, lambda n: 4, runs)
    known = costs(load, flip=0.01, poisson=0.1)
    assert known.run_s_at(2) == pytest.approx(0.02, rel=0.02)
    assert known.run_s_at(9) == pytest.approx(2.0, rel=0.02)
    assert known.work_rates(load.at)[9, None] == pytest.approx(2.0, rel=0.05)
    assert known.work_rates(load.at + 3600) == {}


def test_a_thousand_tenants_are_added_up_by_level():
    arrived = lambda n: {f"5 t{i}": 1 + (i < 3) for i in range(1000)}  # noqa: E731
    load = ticks(30, arrived, lambda n: 0, lambda n: 0)
    assert MOST_NAMES <= len(load.arrivals) <= MOST_NAMES + 1
    assert sum(load.arrivals.values()) / load.seconds == pytest.approx(1003, rel=0.02)
    assert load.arrivals["5 "] / load.seconds == pytest.approx(1000 - MOST_NAMES, rel=0.02)
    assert load.arrivals["5 t0"] / load.seconds == pytest.approx(2, rel=0.02)


@pytest.mark.parametrize("text", [None, b"", b"{", b"[]", b'{"at": "x", "other": 1}', b"null"])
def test_a_load_that_cannot_be_read_counts_as_nothing_measured(text):
    assert QueueLoad.of_text(text).mean_run_s is None


def test_a_load_survives_redis():
    load = ticks(30, lambda n: {"5 ana": 20}, lambda n: 0, lambda n: 4)
    again = QueueLoad.of_text(load.text().encode())
    assert again.mean_run_s == load.mean_run_s
    assert again.arrivals == load.arrivals
    assert costs(again, hsv=1.0).work_rates(again.at) == costs(load, hsv=1.0).work_rates(load.at)


def test_samples_tell_the_work_before_any_place():
    rng = random.Random(2)
    run_s = [rng.choice([0.1, 0.2, 2.0]) for _ in range(5000)]
    looked = [(upto, run_s[rank]) for rank, upto in spread([10, 2500, 5000], 3000)]
    for count in (3, 10, 2500, 5000):
        exact = sum(run_s[:count])
        assert work_before(count, looked, 1.0) == pytest.approx(exact, rel=0.15), count
    assert work_before(7, [], 0.5) == 3.5
    every = [(upto, run_s[rank]) for rank, upto in spread([20], 64)]
    assert work_before(13, every, 1.0) == pytest.approx(sum(run_s[:13]))
