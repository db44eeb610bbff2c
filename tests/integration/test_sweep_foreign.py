"""Messages that were not stamped, or by another clock: the sweep lends them a time."""

import json

import pytest
from workers.sweep import sweep

from tests.integration.sweeping import (
    NOW,
    POLICY,
    QUEUE,
    enqueued_at,
    message,
    raw_list,
    run,
    table,
    wait,
)

pytestmark = pytest.mark.usefixtures("unhurried")


def test_a_foreign_message_ages_from_when_it_is_first_seen(client):
    wait(client, 5, message("a", waited_s=None))
    run(client)
    assert enqueued_at(client, 5) == NOW
    run(client, after_s=19.9)
    assert table(client) == {5: ["a"]}
    run(client, after_s=20.1)
    assert table(client) == {4: ["a"]}
    assert enqueued_at(client, 4) == NOW


@pytest.mark.parametrize("headers", [{}, {"id": "a"}, {"id": "a", "enqueued_at": None}])
def test_any_headers_take_a_stamp(client, headers):
    wait(client, 5, {**message("a"), "headers": headers})
    run(client)
    run(client, after_s=20.1)
    assert len(raw_list(client, 4)) == 1


def test_foreign_messages_do_not_hold_up_what_is_behind_them(client):
    foreign = [message(f"f{n}", waited_s=None) for n in range(5)]
    wait(client, 5, *foreign, message("a", waited_s=30), message("b", waited_s=10))
    run(client)
    assert table(client) == {4: ["f0", "f1", "f2", "f3", "f4", "a"], 5: ["b"]}


@pytest.mark.parametrize("inherits", [{"retries": 2}, {"parent_id": "first"}])
def test_a_retry_that_goes_ahead_of_a_foreign_message_stays(client, inherits):
    """The foreign one is stamped in the same call, and is no more the text that it was."""
    wait(client, 5, message("foreign", waited_s=None), message("young", waited_s=0.2))
    wait(client, 5, message("late", waited_s=15, **inherits))
    run(client)
    assert table(client) == {5: ["late", "foreign", "young"]}


def test_a_foreign_message_that_a_job_has_sent_is_there_once(client):
    wait(client, 5, message("ahead", waited_s=-0.003))
    wait(client, 5, message("foreign", waited_s=None, parent_id="a task of somebody else"))
    run(client)
    assert sorted(table(client)[5]) == ["ahead", "foreign"]


def test_a_foreign_message_does_not_take_the_age_of_a_step_that_comes_after_it(client):
    old = [message(name, waited_s=waited_s) for name, waited_s in [("a", 18), ("b", 17)]]
    wait(client, 5, *old, message("foreign", waited_s=None))
    wait(client, 5, message("step", waited_s=600, parent_id="first"))
    run(client)
    assert table(client) == {0: ["step"], 5: ["a", "b", "foreign"]}
    assert enqueued_at(client, 5, place=2) == NOW


def test_a_retry_ahead_of_a_foreign_message_and_a_step_is_found(client):
    wait(client, 5, message("a", waited_s=10), message("retry", waited_s=15, retries=1))
    wait(client, 5, message("foreign", waited_s=None))
    wait(client, 5, message("step", waited_s=600, parent_id="first"))
    run(client)
    assert table(client) == {0: ["step"], 5: ["retry", "a", "foreign"]}


def test_a_foreign_message_with_no_time_keeps_the_one_it_is_lent_where_it_goes_among_others(client):
    wait(client, 4, message("a", 4, waited_s=15), message("c", 4, waited_s=1))
    wait(client, 5, message("foreign", waited_s=None), message("b", waited_s=30))
    sweep(client, QUEUE, POLICY, NOW, since=NOW + 100)  # nothing is new: heads alone are looked at
    assert table(client) == {4: ["a", "foreign", "b", "c"]}
    assert NOW - 31 < enqueued_at(client, 4, place=1) <= NOW - 30


def test_thousands_of_large_foreign_messages_are_all_stamped_by_the_first_sweep(client):
    large = {"body": "QUJD" * 10_000}
    wait(client, 5, *(message(f"{n}", waited_s=None) | large for n in range(300)))
    run(client)
    assert {json.loads(raw)["headers"]["enqueued_at"] for raw in raw_list(client, 5)} == {NOW}


def test_a_burst_of_foreign_messages_climbs_together(client):
    wait(client, 5, *(message(f"{n}", waited_s=None) for n in range(1000)))
    run(client)
    run(client, after_s=20.1)
    assert table(client) == {4: [f"{n}" for n in range(1000)]}


def test_a_message_from_the_future_counts_from_now(client):
    wait(client, 5, message("a", waited_s=-1000))
    run(client)
    assert enqueued_at(client, 5) == NOW
    run(client, after_s=20.1)
    assert table(client) == {4: ["a"]}


def test_a_clock_that_is_a_little_ahead_is_left_alone(client):
    wait(client, 5, message("a", waited_s=-0.5))
    run(client)
    assert enqueued_at(client, 5) == NOW + 0.5
