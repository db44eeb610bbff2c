"""Jobs that came back, retries and next steps: the sweep puts each into its place."""

import json
import random

import pytest

from shared.names import LEVELS
from tests.integration.sweeping import message, raw_list, run, table, wait
from workers import sweep as sweep_module

pytestmark = pytest.mark.usefixtures("unhurried")


def test_a_job_that_came_back_goes_to_its_place_near_the_head(client):
    wait(client, 4, *(message(name, 4, waited_s) for name, waited_s in [("a", 9), ("c", 7)]))
    wait(client, 5, message("b", 5, waited_s=28, redelivered=True), message("d", 5, 1))
    run(client)
    assert table(client) == {4: ["a", "b", "c"], 5: ["d"]}


def test_a_job_that_came_back_goes_to_the_head_where_it_is_the_oldest(client):
    wait(client, 0, *(message(f"{n}", 0, 100 - n) for n in range(90)))
    wait(client, 5, message("a", 5, waited_s=201, redelivered=True))
    run(client)
    assert table(client)[0][:3] == ["a", "0", "1"]


def test_jobs_that_came_back_in_another_order_than_theirs_are_put_in_theirs(client):
    """Each is pushed to the head as it comes; one that has climbed must not hide behind another."""
    came = [("d", 5), ("b", 170), ("c", 9)]
    wait(client, 9, *(message(name, 9, waited_s, redelivered=True) for name, waited_s in came))
    wait(client, 9, message("e", 9, 2))
    run(client)
    assert table(client) == {1: ["b"], 9: ["c", "d", "e"]}


@pytest.mark.parametrize("inherits", [{"retries": 2}, {"parent_id": "first"}])
def test_a_retry_and_a_next_step_go_from_the_tail_to_the_place_of_their_time(client, inherits):
    wait(client, 5, *(message(f"{n}", 5, 15 - n) for n in range(5)))
    wait(client, 5, message("x", 5, 13.5, **inherits), message("y", 5, 70, **inherits))
    wait(client, 5, message("new", 5, 0))
    run(client)
    assert table(client) == {2: ["y"], 5: ["0", "1", "x", "2", "3", "4", "new"]}


def test_a_retry_behind_hundreds_of_newer_jobs_is_found_on_every_level(client):
    """As many come between two sweeps on one level; on the others at least a few."""
    for level in LEVELS:
        wait(client, level, message(f"old {level}", level, 15))
        wait(client, level, message(f"retry {level}", level, 16, retries=1))
    wait(client, 0, *(message(f"{n}", 0, 0) for n in range(200)))
    run(client)
    for level in LEVELS:
        assert table(client)[level][:2] == [f"retry {level}", f"old {level}"]


@pytest.mark.parametrize("call_s", [60.0, 0.0])
def test_what_a_call_has_no_time_to_place_the_next_one_places(client, monkeypatch, call_s):
    """Ten retries at the tail, or ten jobs that came back to the head, each with another place."""
    monkeypatch.setattr(sweep_module, "CALL_S", call_s)
    wait(client, 3, *(message(f"{n}", 3, 15 - n, redelivered=True) for n in (7, 2, 4, 9, 3, 1)))
    wait(client, 3, *(message(f"{n}", 3, 15 - n) for n in (0, 5, 6, 8, 10)))
    wait(client, 5, *(message(f"{n}", 5, 15 - n) for n in (0, 5, 6, 8, 10)))
    wait(client, 5, *(message(f"{n}", 5, 15 - n, retries=1) for n in (7, 2, 4, 9, 3, 1)))
    swept = run(client)
    assert table(client) == {level: [f"{n}" for n in range(11)] for level in (3, 5)}
    assert (swept.calls > 4) == (call_s == 0)


@pytest.mark.parametrize("call_s", [60.0, 0.0005])
def test_retries_among_thousands_that_came_at_once_are_all_put_into_their_places(
    client, monkeypatch, call_s
):
    """More than one call can read: each goes on where the one before it ended."""
    monkeypatch.setattr(sweep_module, "CALL_S", call_s)
    wait(client, 5, *(message(f"{n}", 5, 15 - n / 1000) for n in range(900)))
    early = random.Random(1).sample(range(900), 30)
    for n in range(3000):
        wait(client, 5, message(f"new {n}", 5, 0.5 - n / 10_000))
        if n % 100 == 70:
            waited_s = 15 - (early[n // 100] + 0.5) / 1000
            wait(client, 5, message(f"retry {n}", 5, waited_s, retries=1))
    swept = run(client)
    waiting = [json.loads(raw)["headers"]["enqueued_at"] for raw in raw_list(client, 5)]
    assert len(waiting) == 3930
    assert waiting == sorted(waiting)
    assert (swept.calls > 4) == (call_s < 1)
