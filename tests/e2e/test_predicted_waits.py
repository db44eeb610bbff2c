"""Predicted waits on real workers: compared with measured ones, and shown while a command waits."""

import random
import time

import pytest

from agewell import Client
from agewell.errors import ParameterError
from tests.support.paths import PHOTOS
from tests.support.stack import started, state_directory, until
from tests.support.terminal import on_terminal
from tests.support.timed_stack import ids_of, timed_stack

WITHIN = 0.25
SLOTS, MEAN_S, OVERLOAD = 4, 0.2, 1.2
SHARES = {(2, None): 0.3, (5, "ana"): 0.35, (5, "ben"): 0.35}
SENDING_S, LEARNING_S, LAST_S = 33.0, 14.0, 8.0
"""Jobs are compared if something has been measured, and the load goes on until they start."""


def quantile(values, part):
    return sorted(values)[int(part * len(values))]


@pytest.mark.slow
@pytest.mark.alone
def test_predicted_waits_are_those_that_are_measured():
    """Random arrivals and run times, on two levels and of two tenants, at load 1.2."""
    rng, predicted = random.Random(3), {}
    with timed_stack("threads", SLOTS, aging_k=0.5) as stack:
        client = Client(stack.session)
        started_at, at = time.monotonic(), 0.0
        while (at := at + rng.expovariate(OVERLOAD * SLOTS / MEAN_S)) < SENDING_S:
            ((level, tenant),) = rng.choices(list(SHARES), list(SHARES.values()))
            time.sleep(max(0.0, started_at + at - time.monotonic()))
            told = client.estimate(level, tenant).wait_s
            job_id = stack.send(level, rng.expovariate(1 / MEAN_S), tenant)
            if LEARNING_S < at < SENDING_S - LAST_S:
                predicted[job_id] = told
        until(lambda: predicted.keys() <= ids_of(stack.starts()), 60, stack.starts)
        measured = {each.job_id: each.started_at - each.enqueued_at for each in stack.starts()}
    assert len(predicted) > 150
    for part in (0.5, 0.9):
        expected = quantile([measured[job_id] for job_id in predicted], part)
        assert quantile(predicted.values(), part) == pytest.approx(expected, rel=WITHIN), part


@pytest.fixture(scope="module")
def stack():
    with state_directory() as folder, started(folder, CONCURRENCY=1) as running:
        yield running
        running.stop()


def test_enqueue_counts_down_to_the_predicted_start_on_a_terminal_only(stack):
    photo = str(PHOTOS / "bird.jpg")
    stack.ok("enqueue", "hsv", photo, "--wait")
    command = ("enqueue", "hsv", photo, "--wait", "--priority", "bulk")
    shown = "\n".join(on_terminal(*command, columns=120, env=stack.env))
    assert "start" in shown
    assert "start" not in stack.ok(*command, "--json").stdout


def test_queues_say_how_long_a_new_job_waits(stack):
    queues = {each["queue"]: each for each in stack.documents("queues")}
    assert [each["predicted_wait_s"] for each in queues["cv"]["levels"]] == [0.0] * 10
    assert (queues["cv"]["slots"], queues["cv"]["no_prediction"]) == (1, "")
    assert queues["upkeep"]["levels"][5]["predicted_wait_s"] is None


def test_a_client_asks_for_a_level_and_a_tenant(stack):
    assert stack.client.estimate("bulk", tenant="ana").wait_s == 0.0
    infer = stack.client.estimate(queue="infer")
    assert (infer.wait_s, infer.why) in [(0.0, ""), (None, "no worker")]
    for wrong in ({"queue": "upkeep"}, {"tenant": "a b"}, {"priority": 10}):
        with pytest.raises(ParameterError):
            stack.client.estimate(**wrong)
