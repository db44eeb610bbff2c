"""Deliveries that come back, are tried again, or die."""

import json
from functools import partial

import pytest
from celery import chain

from shared.errors import MaskError
from shared.queue.record import State
from tests.e2e.messages import good_job
from tests.integration.delivering import AWAY, FULL, LIST, come_back, deliver, hsv


def test_a_done_step_that_comes_back_sends_the_next_one_no_second_time(app, tools, client):
    first = chain(hsv(app, good_job()), hsv(app, {"op": "hsv"})).apply_async().parent
    raw = client.lindex(LIST, 0)
    deliver(app)
    deliver(app)
    come_back(app, client, raw)
    assert client.llen(LIST) == 0
    assert tools.ledger.get(first.id).state is State.DONE


def test_a_done_job_that_comes_back_calls_what_is_linked_to_it_no_second_time(app, client):
    hsv(app, good_job()).apply_async(link=hsv(app, {"op": "hsv"}))
    raw = client.lindex(LIST, 0)
    deliver(app)
    come_back(app, client, raw)
    assert client.llen(LIST) == 1


@pytest.mark.parametrize(
    ("errors", "state"),
    [
        ([FULL] * 7 + [AWAY] * 5, State.DONE),
        ([AWAY, FULL, FULL, *[AWAY] * 4, FULL], State.DONE),
        ([FULL] * 3 + [AWAY] * 6, State.DEAD),
        ([AWAY] * 6, State.DEAD),
    ],
)
def test_retries_for_a_full_redis_are_not_counted_with_the_others(
    app, tools, trouble, errors, state
):
    trouble += errors
    job_id = hsv(app, good_job()).apply_async(headers={"kept": 1}).id
    for _ in errors:
        assert tools.ledger.get(job_id).state is State.WAITING
        deliver(app)
    if state is State.DONE:
        deliver(app)
    assert tools.ledger.get(job_id).state is state
    assert not trouble


def test_a_job_may_be_tried_again_any_number_of_times_while_redis_is_full(
    app, tools, trouble, client
):
    trouble.append(FULL)
    headers = {"full_retries": 5000, "kept": 1}
    job_id = hsv(app, good_job()).apply_async(retries=5000, headers=headers).id
    deliver(app)
    assert tools.ledger.get(job_id).state is State.WAITING
    again = json.loads(client.lindex(LIST, 0))["headers"]
    assert (again["retries"], again["full_retries"], again["kept"]) == (5001, 5001, 1)


class Killed(BaseException):
    """Ends a run where it is, as a worker's death does."""


def test_a_chord_whose_part_came_back_calls_back_once(app, client, monkeypatch):
    # What `chord` sends; itself it would listen for the parts for ever after.
    callback = hsv(app, {"op": "hsv"}, task_id="callback")
    app.backend.set_chord_size("parts", 2)
    for index in range(2):
        options = {"group_id": "parts", "group_index": index, "chord": callback}
        hsv(app, good_job()).apply_async(**options)
    raw = client.lindex(LIST, -1)

    def die(*_args, **_options):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(type(app.backend), "on_chord_part_return", die)
        deliver(app)
    for _ in range(2):
        come_back(app, client, raw)
        assert client.llen(LIST) == 1  # the other part
    deliver(app)
    assert client.llen(LIST) == 1  # the callback
    come_back(app, client, raw)
    assert client.llen(LIST) == 1
    deliver(app)
    assert len(app.backend.get_result("callback")["items"]) == 2


def test_a_chord_whose_failed_part_came_back_fails_once(app, client, tools, monkeypatch, trouble):
    callback = hsv(app, {"op": "hsv"}, task_id="callback")
    app.backend.set_chord_size("parts", 1)
    options = {"group_id": "parts", "group_index": 0, "chord": callback}
    hsv(app, good_job(), task_id="part").apply_async(**options)
    raw = client.lindex(LIST, -1)
    trouble.append(partial(MaskError, "mask.png", "empty"))

    def die(*_args, **_options):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(type(app.backend), "on_chord_part_return", die)
        deliver(app)
    assert tools.ledger.get("part").state is State.FAILED
    assert app.backend.get_state("callback") == "PENDING"
    come_back(app, client, raw)
    assert app.backend.get_state("callback") == "FAILURE"
    come_back(app, client, raw)
    assert client.llen(LIST) == 0
    assert tools.ledger.get("part").state is State.FAILED
