"""Predicted waits on real workers: compared with measured ones, and shown while a command waits."""

import pytest

from agewell.errors import ParameterError
from agewell.testing import running_stack
from benchmarks.predicted_waits import AGING_K, OPERATIONS, SLOTS, Span, offer, quantile
from tests.support.paths import PHOTOS
from tests.support.stack import started, state_directory
from tests.support.terminal import on_terminal

WITHIN = 0.25
SHARES = {(2, None): 0.3, (5, "ana"): 0.35, (5, "ben"): 0.35}
OVERLOAD = 1.2


@pytest.mark.slow
@pytest.mark.alone
def test_predicted_waits_are_those_that_are_measured():
    with running_stack(concurrency=SLOTS, aging_k=AGING_K, operations=str(OPERATIONS)) as stack:
        waits = offer(stack.client, OVERLOAD, SHARES, Span(24, 7, 9), seed=3)
    assert len(waits) > 120
    for part in (0.5, 0.9):
        predicted = quantile([each.predicted_s for each in waits], part)
        measured = quantile([each.measured_s for each in waits], part)
        assert predicted == pytest.approx(measured, rel=WITHIN), part


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
