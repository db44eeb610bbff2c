"""The ledger on a real Redis: each change of a state happens once, whoever races for it."""

import json
import os
import threading
import time
import uuid

import pytest

from agewell.shared.queue.ledger import End, Ledger, Lifetimes
from agewell.shared.queue.record import State
from agewell.shared.queue.tenant_search import PAGE
from agewell.shared.redis import keys
from agewell.shared.redis.clock import redis_now
from agewell.workers.consuming.message import FLAG
from agewell.workers.consuming.unacked import give_back
from agewell.workers.process.identity import name_worker
from tests.support.consuming import RUN, scheduled_ids, send, waiting_ids, worker_app
from tests.support.delivering import lose_worker

TTL_S, DONE_TTL_S = 1000, 500
LOST_MAX = 3


@pytest.fixture
def ledger(client):
    return Ledger(client, Lifetimes(DONE_TTL_S, TTL_S))


@pytest.fixture
def app(settings, client):
    return worker_app(settings)


@pytest.fixture
def take(app):
    """Take the next job as a worker does. Returns its id and its flag, or None if none waits."""
    with app.connection_for_read() as connection:

        def take_next():
            message = connection.default_channel.basic_get("cv")
            return message and (message.headers["id"], message.headers[FLAG])

        yield take_next


def index(client):
    """The lists of jobs: by state, their ids."""
    found = {state: client.zrange(keys.jobs(state), 0, -1) for state in State}
    return {state.value: [each.decode() for each in ids] for state, ids in found.items() if ids}


def test_message_and_record_come_together(app, ledger, client):
    [job_id] = send(app, priority=2, headers={"items": 7})
    entry = ledger.get(job_id)
    assert (entry.state, entry.op, entry.level, entry.items) == (State.WAITING, "hsv", 2, 7)
    assert entry.enqueued_at == pytest.approx(redis_now(client), abs=5)
    assert waiting_ids(client) == [job_id]
    assert index(client) == {"waiting": [job_id]}


def test_messages_of_one_pipeline_have_their_records(app, ledger, client):
    with app.producer_pool.acquire(block=True) as producer, producer.batch():
        ids = send(app, 3, producer=producer)
    assert [entry.state for entry in ledger.get_all(ids)] == [State.WAITING] * 3
    assert waiting_ids(client) == ids


def test_life_of_a_job(settings, ledger, client):
    app, worker_id = worker_app(settings), name_worker("cv@here")
    app.conf.broker_transport_options["unacked_key"] = keys.reserved(worker_id)
    [job_id] = send(app)
    with app.connection_for_read() as connection:
        message = connection.default_channel.basic_get("cv")
        assert index(client) == {"running": [job_id]}
        assert client.ttl(keys.job(job_id)) == -1
        assert ledger.get(job_id).pid == os.getpid()
        assert not client.exists(keys.result(job_id))
        assert ledger.end(End(job_id, State.DONE, items_failed=2), '{"status": "SUCCESS"}')
        message.ack()
    assert index(client) == {"done": [job_id]}
    for key in (keys.job(job_id), keys.result(job_id)):
        assert 0 < client.ttl(key) <= DONE_TTL_S
    assert json.loads(client.get(keys.result(job_id)))["status"] == "SUCCESS"
    entry = ledger.get(job_id)
    assert (entry.state, entry.items_failed, entry.worker) == (State.DONE, 2, "cv@here")
    assert entry.enqueued_at <= entry.started_at <= entry.ended_at


def test_ended_job_leaves_nothing_but_its_record(app, ledger, client, take):
    [job_id] = send(app, headers={"deadline_at": redis_now(client) + 1000})
    take()
    ledger.end(End(job_id, State.FAILED, error="why"))
    assert TTL_S - 5 < client.ttl(keys.job(job_id)) <= TTL_S
    fields = {field.decode() for field in client.hkeys(keys.job(job_id))}
    assert fields <= {
        *("state", "ended_at", "op", "items", "worker", "level", "enqueued_at", "started_at"),
        *("deadline_at", "error"),
    }
    left = {key.decode() for key in client.scan_iter()}
    assert not left & {
        keys.reserved(RUN), keys.order("cv"), keys.scheduled("cv"), keys.DEADLINES,
        keys.jobs("running"), keys.jobs("waiting"),
    }  # fmt: skip


@pytest.mark.parametrize("ended", [State.DONE, State.FAILED, State.CANCELLED, State.DEAD])
def test_ended_job_neither_starts_nor_ends_again(app, ledger, client, take, ended):
    [job_id] = send(app)
    take()
    assert ledger.end(End(job_id, ended), "first")
    lose_worker(client)
    assert take() is None
    assert not ledger.end(End(job_id, State.DONE), "second")
    assert client.get(keys.result(job_id)) == b"first"
    assert index(client) == {ended.value: [job_id]}
    assert client.hget(keys.COUNTS, "ended_before") == b"1"


def test_of_many_that_end_a_job_at_once_one_does(app, ledger, client, take):
    [job_id] = send(app)
    take()
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


def test_job_whose_worker_dies_again_and_again_is_given_up(app, ledger, client, take):
    [job_id] = send(app)
    for lost in range(1, LOST_MAX + 1):
        assert take() == (job_id, "")
        lose_worker(client)
        assert len(ledger.get(job_id).history) == lost
    assert [line.split()[1] for line in ledger.get(job_id).history] == ["cv@here:1"] * LOST_MAX
    assert take() is None
    assert client.smembers(keys.GIVEN_UP) == {job_id.encode()}


def test_job_whose_worker_stops_in_peace_is_no_step_nearer_to_death(app, ledger, client, take):
    [job_id] = send(app)
    for _ in range(2 * LOST_MAX):
        assert take() == (job_id, "")
        [tag] = client.hkeys(keys.reserved(RUN))
        assert give_back(client, keys.reserved(RUN), tag.decode(), {})
    assert ledger.get(job_id).history == ()


def test_retry_waits_and_is_no_step_nearer_to_death(app, ledger, client, take):
    [job_id] = send(app)
    for retries in range(1, 2 * LOST_MAX):
        assert take() == (job_id, "")
        # What a retry is: the same id once more, while the run that failed goes on.
        app.send_task("cv.hsv", args=[{}], task_id=job_id, retries=retries)
        assert index(client) == {"waiting": [job_id]}
        assert waiting_ids(client) == [job_id]
        lose_worker(client)  # the old delivery is nobody's by now
        assert waiting_ids(client) == [job_id]
    assert ledger.get(job_id).history == ()


def test_retry_that_is_sent_twice_is_one(app, ledger, client, take):
    [job_id] = send(app)
    for retries in (1, 2):
        assert take() == (job_id, "")
        for _ in range(2):
            app.send_task("cv.hsv", args=[{}], task_id=job_id, retries=retries)
            assert index(client) == {"waiting": [job_id]}
            assert waiting_ids(client) == [job_id]
    # A late copy of the first retry changes nothing while the job runs.
    assert take() == (job_id, "")
    app.send_task("cv.hsv", args=[{}], task_id=job_id, retries=1)
    assert index(client) == {"running": [job_id]}
    assert waiting_ids(client) == []


def test_open_job_that_is_published_again_waits_or_runs_as_it_did(app, client, take):
    running, waiting = send(app, 2)
    assert take() == (running, "")
    for job_id in (waiting, running):
        app.send_task("cv.hsv", args=[{}], task_id=job_id)
    assert index(client) == {"waiting": [waiting], "running": [running]}
    assert waiting_ids(client) == [waiting]


def test_ended_job_that_is_published_again_is_not_run_again(app, ledger, client, take):
    [job_id] = send(app)
    take()
    ledger.end(End(job_id, State.DONE), "result")
    app.send_task("cv.hsv", args=[{}], task_id=job_id)
    assert index(client) == {"done": [job_id]}
    assert waiting_ids(client) == []
    assert client.get(keys.result(job_id)) == b"result"


def test_job_whose_deadline_has_passed_does_not_run(app, ledger, client, take):
    [late] = send(app, headers={"deadline_at": redis_now(client) - 1})
    [early] = send(app, headers={"deadline_at": redis_now(client) + 1000})
    assert [entry.state for entry in ledger.get_all([late, early])] == [
        State.EXPIRED,
        State.WAITING,
    ]
    assert take() == (late, "expired")
    assert ledger.get(late).started_at is None
    assert take() == (early, "")


def cancel(ledger, job_id):
    return ledger.end(End(job_id, State.CANCELLED, only_from=State.WAITING))


@pytest.mark.parametrize("countdown", [None, 1000])
def test_cancelled_waiting_job_leaves_its_queue(app, ledger, client, take, countdown):
    [job_id] = send(app, countdown=countdown)
    assert cancel(ledger, job_id)
    assert (waiting_ids(client), scheduled_ids(client)) == ([], [])
    assert index(client) == {"cancelled": [job_id]}
    assert take() is None


def test_cancelled_running_job_is_asked_to_end(app, ledger, client, take):
    [job_id] = send(app)
    assert not ledger.report(job_id)
    take()
    assert not cancel(ledger, job_id)
    assert ledger.report(job_id)
    lose_worker(client)
    assert take() == (job_id, "cancelled")  # its worker died: it is not run again


@pytest.mark.parametrize("state", [State.DONE, None])
def test_cancel_of_a_job_that_is_gone_leaves_no_trace(app, ledger, client, take, state):
    [job_id] = send(app)
    take()
    ledger.end(End(job_id, State.DONE))
    if state is None:
        ledger.forget(job_id)
    before = client.hgetall(keys.job(job_id))
    assert not cancel(ledger, job_id)
    assert client.hgetall(keys.job(job_id)) == before


@pytest.mark.alone
def test_cancel_costs_the_same_for_any_backlog_and_any_message(app, ledger, client):
    """At most a millisecond of Redis's time: here, of the last of 2,000 jobs, and of 1 MiB."""
    with app.producer_pool.acquire(block=True) as producer, producer.batch():
        ids = send(app, 2000, producer=producer)
    large = app.send_task("anything.else", args=["x" * 2**20], queue="cv").id
    for job_id in (ids[0], ids[-1], large):
        client.config_resetstat()
        assert cancel(ledger, job_id)
        assert client.info("commandstats")["cmdstat_evalsha"]["usec"] < 1000
    assert len(waiting_ids(client)) == 1998


def test_job_ends_only_from_the_state_that_is_asked_for(app, ledger, take):
    [job_id] = send(app)
    assert not ledger.end(End(job_id, State.FAILED, only_from=State.RUNNING))
    take()
    assert not ledger.end(End(job_id, State.FAILED, only_from=State.WAITING))
    assert ledger.end(End(job_id, State.FAILED, only_from=State.RUNNING))


def test_unknown_is_not_waiting(ledger):
    assert ledger.get(str(uuid.uuid4())) is None


def test_latest_jobs_of_some_states(app, ledger):
    ids = send(app, 4)
    for job_id in ids[:2]:
        ledger.end(End(job_id, State.FAILED))
    assert [each.job_id for each in ledger.list([State.FAILED], 0, 10)] == ids[1::-1]
    assert [each.job_id for each in ledger.list(list(State), 0, 3)] == [ids[1], ids[0], ids[3]]
    assert ledger.list(list(State), redis_now(ledger._client) + 10, 10) == []
    assert ledger.counts()[State.WAITING] == 2


def test_latest_jobs_of_a_tenant_are_found_among_many_of_others(app, ledger):
    ids = {name: send(app, 3, headers={"tenant": name}) for name in ("lab/ana", "labs", "lab")}
    send(app, 2 * PAGE + 10, headers={"tenant": "flood"})
    for job_id in ids["lab"][:1] + ids["lab/ana"][:1]:
        ledger.end(End(job_id, State.CANCELLED))
    ended, waiting = ids["lab/ana"][:1] + ids["lab"][:1], ids["lab"][:0:-1] + ids["lab/ana"][:0:-1]

    def found(tenant, states=tuple(State), limit=10):
        return [each.job_id for each in ledger.list(states, 0, limit, tenant)]

    assert found("lab") == ended + waiting
    assert found("lab", limit=3) == (ended + waiting)[:3]
    assert found("lab", [State.WAITING]) == waiting
    assert found("lab/ana") == ids["lab/ana"][:1] + ids["lab/ana"][:0:-1]
    assert found("la") == found("lab/an") == []


def test_forgotten_job_may_be_sent_again(app, ledger, client):
    [job_id] = send(app)
    ledger.end(End(job_id, State.DEAD), "result")
    ledger.forget(job_id)
    assert ledger.get(job_id) is None
    assert client.get(keys.result(job_id)) is None
    app.send_task("cv.hsv", args=[{}], task_id=job_id)
    assert ledger.get(job_id).state is State.WAITING


def test_times_go_forward_in_spite_of_wrong_clocks(app, ledger, client, take, monkeypatch):
    right = time.time
    [job_id] = send(app, headers={"enqueued_at": redis_now(client) + 0.5})
    with monkeypatch.context() as patch:
        patch.setattr("agewell.shared.redis.clock.RedisClock.now", lambda *_: right() + 0.5)
        assert take() == (job_id, "")
    ledger.end(End(job_id, State.DONE))
    entry = ledger.get(job_id)
    assert entry.enqueued_at <= entry.started_at <= entry.ended_at < right() + 0.5
