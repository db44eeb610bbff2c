"""The ledger on a real Redis: each change of a state happens once, whoever races for it."""

import json
import os
import threading
import uuid

import pytest
import redis

from shared import keys
from shared.celery_app import make_app
from shared.queue.ledger import End, Ledger, Start
from shared.queue.record import State
from shared.redis_client import connect
from shared.stamp import redis_now

TTL_S = 1000
RUNS = 3


@pytest.fixture
def ledger(client):
    return Ledger(client, TTL_S)


@pytest.fixture
def app(settings, client):
    return make_app(settings)


def send(app, **options):
    """Publish a job as any user of the app does; its id."""
    return app.send_task("cv.hsv", args=[{"op": "hsv"}], **options).id


def start(ledger, job_id, worker="cv@here"):
    return ledger.start(Start(job_id, "hsv", 1, worker, 5, None), RUNS)


def index(client):
    """Where a job is listed: by state, the ids."""
    found = {state: client.zrange(keys.jobs(state), 0, -1) for state in State}
    return {state.value: [each.decode() for each in ids] for state, ids in found.items() if ids}


def test_a_message_and_its_record_come_together(app, ledger, client):
    job_id = send(app, priority=2, headers={"items": 7})
    entry = ledger.get(job_id)
    assert (entry.state, entry.op, entry.level, entry.items) == (State.WAITING, "hsv", 2, 7)
    assert entry.enqueued_at == pytest.approx(redis_now(client), abs=5)
    assert client.llen(keys.waiting_list("cv", 2)) == 1
    assert index(client) == {"waiting": [job_id]}


def test_messages_published_in_one_pipeline_have_their_records_too(app, ledger, client):
    with app.producer_pool.acquire(block=True) as producer, producer.batch():
        ids = [send(app, producer=producer) for _ in range(3)]
    assert [entry.state for entry in ledger.get_all(ids)] == [State.WAITING] * 3
    assert client.llen(keys.waiting_list("cv", 5)) == 3


def test_a_life(app, ledger, client):
    job_id = send(app)
    assert start(ledger, job_id) is State.RUNNING
    assert index(client) == {"running": [job_id]}
    assert client.ttl(keys.job(job_id)) == -1
    assert ledger.get(job_id).pid == os.getpid()
    assert not client.exists(keys.result(job_id))
    assert ledger.end(End(job_id, State.DONE, items_failed=2), '{"status": "SUCCESS"}')
    assert index(client) == {"done": [job_id]}
    assert 0 < client.ttl(keys.job(job_id)) <= TTL_S
    assert json.loads(client.get(keys.result(job_id)))["status"] == "SUCCESS"
    entry = ledger.get(job_id)
    assert (entry.state, entry.items_failed, entry.worker) == (State.DONE, 2, "cv@here")
    assert entry.enqueued_at <= entry.started_at <= entry.ended_at


@pytest.mark.parametrize("ended", [State.DONE, State.FAILED, State.CANCELLED, State.DEAD])
def test_an_ended_job_neither_starts_nor_ends_again(app, ledger, client, ended):
    job_id = send(app)
    start(ledger, job_id)
    assert ledger.end(End(job_id, ended), "first")
    assert start(ledger, job_id) is ended
    assert not ledger.end(End(job_id, State.DONE), "second")
    assert client.get(keys.result(job_id)) == b"first"
    assert index(client) == {ended.value: [job_id]}
    assert client.hget(keys.COUNTS, "ended_before") == b"1"


def test_of_many_that_end_a_job_at_once_one_does(app, ledger, client):
    job_id = send(app)
    start(ledger, job_id)
    ended = []
    gate = threading.Barrier(8)

    def end(number):
        gate.wait()
        ended.append(ledger.end(End(job_id, State.DONE, items_failed=number), str(number)))

    heard = client.pubsub()
    heard.subscribe(keys.result(job_id))
    heard.get_message(timeout=5)
    threads = [threading.Thread(target=end, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ended) == [False] * 7 + [True]
    said = [heard.get_message(timeout=1) for _ in range(2)]
    assert said[0]["data"] == client.get(keys.result(job_id))
    assert said[1] is None


def test_a_job_whose_worker_ends_again_and_again_is_dead(app, ledger):
    job_id = send(app)
    states = [start(ledger, job_id, worker=f"cv@{number}") for number in range(RUNS + 1)]
    assert states == [State.RUNNING] * RUNS + [State.DEAD]
    assert [line.split()[1] for line in ledger.get(job_id).history] == ["cv@0", "cv@1", "cv@2"]


@pytest.fixture
def late_answers(settings, monkeypatch):
    """A client that does not hear the next answers to its scripts in time: so many of them."""
    late = []
    with connect(settings) as client:
        kind = type(client.connection_pool.make_connection())
        read = kind.read_response

        def read_late(connection, *args, **options):
            answer = read(connection, *args, **options)
            if late and answer in (b"running", b"dead"):
                raise redis.TimeoutError(late.pop())
            return answer

        monkeypatch.setattr(kind, "read_response", read_late)
        yield client, late


def test_a_start_that_is_sent_again_because_its_answer_was_late_is_one(app, late_answers):
    client, late = late_answers
    ledger, job_id = Ledger(client, TTL_S), send(app)
    for run in range(RUNS):
        late.append("late")
        assert start(ledger, job_id, worker=f"cv@{run}") is State.RUNNING
        assert len(ledger.get(job_id).history) == run
    late.append("late")
    assert start(ledger, job_id) is State.DEAD
    assert len(ledger.get(job_id).history) == RUNS
    assert not late


def test_a_job_that_tries_again_waits_and_is_no_step_nearer_to_death(app, ledger, client):
    job_id = send(app)
    for retries in range(1, 2 * RUNS):
        assert start(ledger, job_id) is State.RUNNING
        # What a retry is: the same id once more, while the run that failed goes on.
        app.send_task("cv.hsv", args=[{}], task_id=job_id, retries=retries)
        assert index(client) == {"waiting": [job_id]}
        assert client.llen(keys.waiting_list("cv", 5)) == 1 + retries
    assert ledger.get(job_id).history == ()


def test_a_retry_that_is_sent_again_because_its_answer_was_late_is_one(app, ledger, client):
    job_id = send(app)
    for retries in (1, 2):
        assert start(ledger, job_id) is State.RUNNING
        for _ in range(2):
            app.send_task("cv.hsv", args=[{}], task_id=job_id, retries=retries)
            assert index(client) == {"waiting": [job_id]}
        assert client.llen(keys.waiting_list("cv", 5)) == 1 + retries
    # The first message comes back, its worker was killed; its run fails once more.
    assert start(ledger, job_id) is State.RUNNING
    app.send_task("cv.hsv", args=[{}], task_id=job_id, retries=1)
    assert index(client) == {"waiting": [job_id]}
    assert client.llen(keys.waiting_list("cv", 5)) == 3
    assert ledger.get(job_id).history == ()


def test_an_open_job_that_is_published_again_waits_or_runs_as_it_did(app, ledger, client):
    waiting, running = send(app), send(app)
    assert start(ledger, running) is State.RUNNING
    for job_id in (waiting, running):
        app.send_task("cv.hsv", args=[{}], task_id=job_id)
    assert index(client) == {"waiting": [waiting], "running": [running]}
    assert client.llen(keys.waiting_list("cv", 5)) == 2


def test_a_deadline_that_has_passed_ends_a_job_that_never_started(app, ledger, client):
    late = send(app, headers={"deadline_at": redis_now(client) - 1})
    early = send(app, headers={"deadline_at": redis_now(client) + 1000})
    assert [entry.state for entry in ledger.get_all([late, early])] == [
        State.EXPIRED,
        State.WAITING,
    ]
    assert start(ledger, late) is State.EXPIRED
    assert start(ledger, early) is State.RUNNING


def test_a_job_that_was_asked_to_end_does_not_start(app, ledger):
    job_id = send(app)
    ledger.ask_to_cancel(job_id)
    assert start(ledger, job_id) is State.CANCELLED


def test_only_from_a_state_that_it_is_in(app, ledger):
    job_id = send(app)
    assert not ledger.end(End(job_id, State.CANCELLED, only_from=State.RUNNING))
    start(ledger, job_id)
    assert not ledger.end(End(job_id, State.CANCELLED, only_from=State.WAITING))
    assert ledger.end(End(job_id, State.CANCELLED, only_from=State.RUNNING))


def test_unknown_is_not_waiting(ledger):
    assert ledger.get(str(uuid.uuid4())) is None


def test_the_latest_of_some_states(app, ledger):
    ids = [send(app) for _ in range(4)]
    for job_id in ids[:2]:
        ledger.end(End(job_id, State.FAILED))
    assert [each.job_id for each in ledger.list([State.FAILED], 0, 10)] == ids[1::-1]
    assert [each.job_id for each in ledger.list(list(State), 0, 3)] == [ids[1], ids[0], ids[3]]
    assert ledger.list(list(State), redis_now(ledger._client) + 10, 10) == []
    assert ledger.counts()[State.WAITING] == 2


def test_a_forgotten_job_may_be_sent_again(app, ledger, client):
    job_id = send(app)
    ledger.end(End(job_id, State.DEAD), "result")
    ledger.forget(job_id)
    assert ledger.get(job_id) is None
    assert client.get(keys.result(job_id)) is None
    app.send_task("cv.hsv", args=[{}], task_id=job_id)
    assert ledger.get(job_id).state is State.WAITING


def test_times_go_forward_whatever_each_process_takes_for_the_present(app, ledger, client):
    ahead = redis_now(client) + 0.5
    job_id = send(app, headers={"enqueued_at": ahead})
    ledger.start(Start(job_id, "hsv", 1, "cv@here", 5, ahead), RUNS)
    ledger.end(End(job_id, State.DONE))
    entry = ledger.get(job_id)
    assert entry.enqueued_at <= entry.started_at <= entry.ended_at < ahead
