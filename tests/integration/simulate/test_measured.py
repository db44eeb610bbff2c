"""The simulator's measurements of a ledger, against records with times of our choosing."""

import pytest
from typer.testing import CliRunner

from agewell.producer.cli.main import app
from agewell.producer.simulate.measured import measure
from agewell.shared.errors import ParameterError
from agewell.shared.redis import keys

NOW = 1_700_000_000.0


def record(client, number, came_s_ago, ran_s=None, op="hsv", level=5, state="done"):
    fields = {"op": op, "level": level, "state": state, "enqueued_at": NOW - came_s_ago}
    if ran_s is not None:
        started_at = NOW - came_s_ago + 1
        fields |= {"started_at": started_at, "ended_at": started_at + ran_s}
    client.hset(keys.job(f"{op}-{number}"), mapping=fields)


def test_rates_and_times_are_those_of_the_last_hour(client):
    """One job a second. Three of four are bulk, and one is of an operation that takes longer."""
    for n in range(101):
        quick = n % 4 != 0
        level, op, ran_s = (9, "hsv", 0.2) if quick else (0, "poisson_blend", 1.0)
        record(client, n, came_s_ago=200 - n, ran_s=ran_s, op=op, level=level)
    record(client, "old", came_s_ago=4000, ran_s=50)
    record(client, "model", came_s_ago=100, ran_s=50, op="infer")
    load = measure(client, "cv", NOW)
    assert load.rates_per_s == pytest.approx({0: 26 / 101, 9: 75 / 101})
    assert {op: times.mean_s for op, times in load.times_of_op.items()} == pytest.approx(
        {"hsv": 0.2, "poisson_blend": 1.0}
    )
    assert load.service.mean_s == pytest.approx((75 * 0.2 + 26) / 101)


def test_waiting_or_cancelled_jobs_count_as_arrivals_without_a_time(client):
    for n in range(30):
        record(client, n, came_s_ago=100 - n, ran_s=0.5)
    for n in range(30, 60):
        record(client, n, came_s_ago=100 - n, state="waiting")
    record(client, 60, came_s_ago=100 - 60, ran_s=9.0, state="cancelled")
    load = measure(client, "cv", NOW)
    assert load.rates_per_s == pytest.approx({5: 1.0})
    assert load.service.times_s == pytest.approx((0.5,) * 30)


@pytest.mark.parametrize("jobs", [0, 19])
def test_too_few_jobs_are_no_measure(client, jobs):
    for n in range(jobs):
        record(client, n, came_s_ago=100 - n, ran_s=0.5)
    with pytest.raises(ParameterError, match=f"cv, with {jobs}; allowed: .* 20 jobs"):
        measure(client, "cv", NOW)


def test_rates_must_come_from_somewhere():
    result = CliRunner().invoke(app, ["simulate", "--service", "1"])
    assert result.exit_code != 0
    assert "--rate is unset" in result.stderr
