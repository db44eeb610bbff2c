"""Jobs that no worker will end: those too late, and those whose message somebody took away."""

import pytest
from celery.exceptions import TaskRevokedError

from shared import keys
from shared.celery_app import make_app
from shared.entry import State
from shared.errors import LostJobError
from shared.ledger import Ledger, Start
from shared.stamp import redis_now
from shared.waiting import take_out
from workers.lost import end_lost_jobs, expire_jobs


@pytest.fixture
def app(settings, client):
    return make_app(settings)


@pytest.fixture
def ledger(client):
    return Ledger(client, 1000)


def send(app, **options):
    return app.send_task("cv.hsv", args=[{}], **options).id


def states(ledger, ids):
    return [entry.state for entry in ledger.get_all(ids)]


def test_only_jobs_that_wait_beyond_their_deadline_expire(app, ledger, client):
    now = redis_now(client)
    late, started, early = (
        send(app, headers={"deadline_at": now + seconds}) for seconds in (-1, -1, 100)
    )
    # Started in time, by a clock that is behind; the record says so, and that counts.
    client.hdel(keys.job(started), "deadline_at")
    ledger.start(Start(started, "hsv", 1, "cv@here", 5, None), 3)
    assert expire_jobs(app, client) == 1
    assert states(ledger, [late, started, early]) == [
        State.EXPIRED,
        State.RUNNING,
        State.WAITING,
    ]
    assert isinstance(app.AsyncResult(late).result, TaskRevokedError)
    assert app.AsyncResult(late).state == "REVOKED"
    assert expire_jobs(app, client) == 0


def test_a_job_that_has_started_in_time_does_not_expire_while_it_waits_to_be_tried_again(
    app, ledger, client
):
    job_id = send(app, headers={"deadline_at": redis_now(client) + 1000})
    ledger.start(Start(job_id, "hsv", 1, "cv@here", 5, None), 3)
    app.send_task("cv.hsv", args=[{}], task_id=job_id, retries=1, countdown=5)
    client.hset(keys.job(job_id), "deadline_at", 1)
    client.zadd(keys.DEADLINES, {job_id: 1})
    assert expire_jobs(app, client) == 0
    assert states(ledger, [job_id]) == [State.WAITING]
    # What cannot start any more is not what may not be ended.
    assert app.backend.end_open(job_id, TaskRevokedError("by hand"), State.WAITING)
    assert states(ledger, [job_id]) == [State.CANCELLED]


def test_a_job_whose_message_was_deleted_ends_at_the_second_look(app, ledger, client):
    kept, deleted = send(app), send(app, priority=9)
    client.delete(keys.waiting_list("cv", 9))
    assert end_lost_jobs(app, client, ledger) == 0
    assert end_lost_jobs(app, client, ledger) == 1
    assert states(ledger, [kept, deleted]) == [State.WAITING, State.FAILED]
    assert isinstance(app.AsyncResult(deleted).result, LostJobError)
    assert end_lost_jobs(app, client, ledger) == 0


def test_a_message_that_a_worker_holds_is_not_lost(app, ledger, client):
    waiting, running = send(app), send(app)
    run = "cv@here:1"
    client.sadd(keys.WORKER_RUNS, run)
    raw = client.lpop(keys.waiting_list("cv", 5))
    client.hset(keys.unacked(run), "tag", keys.waiting_list("cv", 5).encode() + b"\n" + raw)
    ledger.start(Start(running, "hsv", 1, "cv@here", 5, None), 3)
    # A third makes the counts disagree, so that the lists are walked.
    third = send(app, priority=0)
    client.delete("cv")
    for _ in range(3):
        end_lost_jobs(app, client, ledger)
    assert states(ledger, [waiting, running, third]) == [
        State.WAITING,
        State.RUNNING,
        State.FAILED,
    ]


def test_jobs_by_the_thousand_are_walked(app, ledger, client):
    with app.producer_pool.acquire(block=True) as producer, producer.batch():
        ids = [send(app, producer=producer) for _ in range(2_500)]
    gone = keys.waiting_list("cv", 5)
    client.ltrim(gone, 0, -501)  # the five hundred at the head
    end_lost_jobs(app, client, ledger)
    assert end_lost_jobs(app, client, ledger) == 500
    assert set(states(ledger, ids[:500])) == {State.FAILED}
    assert set(states(ledger, ids[500:])) == {State.WAITING}


@pytest.mark.parametrize("place", [0, 700, 1_499])
def test_a_message_is_taken_out_from_wherever_it_is(app, client, place):
    with app.producer_pool.acquire(block=True) as producer, producer.batch():
        ids = [send(app, producer=producer) for _ in range(1_500)]
    assert take_out(client, "cv", ids[place])
    assert client.llen(keys.waiting_list("cv", 5)) == 1_499
    assert not take_out(client, "cv", ids[place])


def test_a_message_that_only_names_a_job_as_its_parent_stays(app, client):
    parent = send(app)
    send(app, parent_id=parent, root_id=parent)
    assert take_out(client, "cv", parent)
    assert client.llen(keys.waiting_list("cv", 5)) == 1
    assert not take_out(client, "cv", parent)
