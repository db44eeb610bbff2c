"""Deliveries that come back, are tried again, or die."""

from functools import partial

import pytest
from celery import chain
from celery.exceptions import ChordError, TaskRevokedError

from agewell.shared.errors import MaskError
from agewell.shared.queue.ledger import Lifetimes
from agewell.shared.queue.record import State
from agewell.shared.redis.clock import redis_now
from agewell.workers.maintenance.expire import expire
from tests.support.consuming import message_of, scheduled_ids, waiting_ids
from tests.support.delivering import (
    AWAY,
    FULL,
    deliver,
    hsv,
    lose_worker,
    make_due,
    run,
    taken,
)
from tests.support.messages import good_job

cancelled = partial(TaskRevokedError, "cancelled")


def test_step_that_ran_twice_sends_the_next_one_once(app, tools, client):
    result = chain(hsv(app, good_job()), hsv(app, {"op": "hsv"})).apply_async()
    with taken(app) as message:
        lose_worker(client)
        with taken(app) as again:
            run(app, again)
            assert waiting_ids(client) == [result.id]
            run(app, message)
    assert waiting_ids(client) == [result.id]
    deliver(app)
    assert waiting_ids(client) == []
    assert tools.ledger.get(result.id).state is State.DONE
    assert tools.ledger.get(result.parent.id).state is State.DONE


def test_step_that_ends_twice_after_the_next_one_is_done_sends_nothing(app, tools, client):
    result = chain(hsv(app, good_job()), hsv(app, {"op": "hsv"})).apply_async()
    with taken(app) as message:
        lose_worker(client)
        for _ in range(2):
            deliver(app)
        assert tools.ledger.get(result.id).state is State.DONE
        run(app, message)
    assert waiting_ids(client) == []


def test_ended_job_never_comes_back(app, client):
    hsv(app, good_job()).apply_async(link=hsv(app, {"op": "hsv"}))
    with taken(app) as message:
        run(app, message)
        [linked] = waiting_ids(client)
        lose_worker(client)
    assert waiting_ids(client) == [linked]


@pytest.mark.parametrize(
    ("errors", "state"),
    [
        ([FULL] * 7 + [AWAY] * 5, State.DONE),
        ([AWAY, FULL, FULL, *[AWAY] * 4, FULL], State.DONE),
        ([FULL] * 3 + [AWAY] * 6, State.DEAD),
        ([AWAY] * 6, State.DEAD),
    ],
)
def test_retries_for_a_full_redis_are_counted_apart(app, tools, client, trouble, errors, state):
    trouble += errors
    job_id = hsv(app, good_job()).apply_async(headers={"kept": 1}).id
    for _ in errors:
        assert tools.ledger.get(job_id).state is State.WAITING
        make_due(client)
        deliver(app)
    if state is State.DONE:
        make_due(client)
        deliver(app)
    assert tools.ledger.get(job_id).state is state
    assert not trouble


def test_retries_have_no_end_while_redis_is_full(app, tools, trouble, client):
    trouble.append(FULL)
    headers = {"full_retries": 5000, "kept": 1}
    job_id = hsv(app, good_job()).apply_async(retries=5000, headers=headers).id
    deliver(app)
    assert tools.ledger.get(job_id).state is State.WAITING
    again = message_of(client, job_id)["headers"]
    assert (again["retries"], again["full_retries"], again["kept"]) == (5001, 5001, 1)


def test_retry_waits_in_redis(app, tools, trouble, client):
    trouble.append(AWAY)
    job_id = hsv(app, good_job()).apply_async().id
    before = tools.ledger.get(job_id).enqueued_at
    deliver(app)
    assert (waiting_ids(client), scheduled_ids(client)) == ([], [job_id])
    entry = tools.ledger.get(job_id)
    assert (entry.state, entry.enqueued_at) == (State.WAITING, before)
    # The first wait is drawn from half a second to a second.
    assert 0.5 <= entry.due_at - entry.started_at <= 3
    make_due(client)
    deliver(app)
    assert tools.ledger.get(job_id).state is State.DONE


def test_job_cancelled_while_it_runs_is_not_tried_again(app, tools, trouble, client):
    trouble.append(AWAY)
    job_id = hsv(app, good_job()).apply_async().id
    with taken(app) as message:
        assert not app.backend.end_open(job_id, cancelled(), State.WAITING)
        run(app, message)
    assert waiting_ids(client) == [job_id]  # at once, and not after its back-off
    deliver(app)
    assert tools.ledger.get(job_id).state is State.CANCELLED
    assert app.backend.get_state(job_id) == "REVOKED"
    assert (waiting_ids(client), scheduled_ids(client)) == ([], [])


def test_retry_of_a_returned_job_waits_in_one_place(app, tools, trouble, client):
    trouble.append(AWAY)
    job_id = hsv(app, good_job()).apply_async().id
    with taken(app) as message:
        lose_worker(client)
        run(app, message)
    assert (waiting_ids(client), scheduled_ids(client)) == ([], [job_id])
    make_due(client)
    deliver(app)
    assert tools.ledger.get(job_id).state is State.DONE
    assert (waiting_ids(client), scheduled_ids(client)) == ([], [])


class Killed(BaseException):
    """Ends a run at once, as a worker's death does."""


@pytest.fixture
def dying(app, monkeypatch):
    """Lets the next delivery end its job, and its worker before the chord has counted that."""

    def die(*_args, **_options):
        raise Killed

    def deliver_and_die():
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(type(app.backend), "on_chord_part_return", die)
            deliver(app)

    return deliver_and_die


def send_parts(app, count):
    """Send a chord's parts. `chord` itself would listen for them."""
    callback = hsv(app, {"op": "hsv"}, task_id="callback")
    app.backend.set_chord_size("parts", count)
    ids = [f"part-{index}" for index in range(count)]
    for index, job_id in enumerate(ids):
        options = {"group_id": "parts", "group_index": index, "chord": callback}
        hsv(app, good_job(), task_id=job_id).apply_async(**options)
    return ids


def test_chord_counts_a_part_whose_worker_died_after_its_end(app, client, tools, dying):
    first, second = send_parts(app, 2)
    dying()
    assert tools.ledger.get(first).state is State.DONE
    assert waiting_ids(client) == [first, second]
    deliver(app)
    deliver(app)
    assert waiting_ids(client) == ["callback"]
    deliver(app)
    assert waiting_ids(client) == []
    assert len(app.backend.get_result("callback")["items"]) == 2


def test_chord_counts_a_part_that_ran_twice_once(app, client):
    _, second = send_parts(app, 2)
    with taken(app) as message:
        lose_worker(client)
        with taken(app) as again:
            run(app, again)
            run(app, message)
    assert waiting_ids(client) == [second]
    deliver(app)
    assert waiting_ids(client) == ["callback"]
    deliver(app)
    assert len(app.backend.get_result("callback")["items"]) == 2


def test_chord_fails_once_by_a_part_whose_worker_died_after_its_end(
    app, client, tools, dying, trouble
):
    [part] = send_parts(app, 1)
    trouble.append(partial(MaskError, "mask.png", "empty"))
    dying()
    assert tools.ledger.get(part).state is State.FAILED
    assert app.backend.get_state("callback") == "PENDING"
    deliver(app)
    assert app.backend.get_state("callback") == "FAILURE"
    assert waiting_ids(client) == []
    assert tools.ledger.get(part).state is State.FAILED


def test_counted_part_keeps_no_message(app, client):
    [part, _] = send_parts(app, 2)
    deliver(app)
    assert not client.hexists(f"agewell:job:{part}", "message")


def cancel(app, client, job_id):
    app.backend.end_open(job_id, cancelled(), State.WAITING)


def revoke(app, client, job_id):
    app.backend.mark_as_revoked(job_id, reason="revoked", store_result=True)  # Celery's own call


def expire_it(app, client, job_id):
    client.hset(f"agewell:job:{job_id}", "deadline_at", 1)
    client.zadd("agewell:deadlines", {job_id: 1})
    expire(app.backend, client, Lifetimes(1000, 1000), 2)


def purge(app, client, job_id):
    with app.connection_for_write() as connection:
        assert connection.default_channel.queue_purge("cv") == 2
    assert waiting_ids(client) == []
    expire(app.backend, client, Lifetimes(1000, 1000), redis_now(client))


@pytest.mark.parametrize("end", [cancel, revoke, expire_it, purge])
def test_chord_fails_by_a_part_that_does_not_run(app, client, tools, end):
    first, _ = send_parts(app, 2)
    end(app, client, first)
    state = State.EXPIRED if end is expire_it else State.CANCELLED
    assert tools.ledger.get(first).state is state
    assert app.backend.get_state(first) == "REVOKED"
    if end is not purge:  # Celery fails a chord as soon as each part has been counted
        assert app.backend.get_state("callback") == "PENDING"
        deliver(app)
    assert app.backend.get_state("callback") == "FAILURE"
    assert isinstance(app.backend.get_result("callback"), ChordError)
    assert tools.ledger.get("callback").op == "hsv"
    assert tools.ledger.get("callback").state is State.FAILED
