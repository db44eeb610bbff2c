"""A dead worker's jobs return to their places, and only a dead worker's."""

import json
import os
import subprocess

import pytest
from celery.app.task import Context

from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from agewell.shared.redis.clock import redis_now
from agewell.workers.consuming.unacked import acknowledge, give_back
from agewell.workers.maintenance import rescue as rescue_module
from agewell.workers.maintenance.rescue import rescue_jobs, rescue_predecessors
from agewell.workers.process import identity
from agewell.workers.process.heartbeat import DEAD_AFTER_S
from agewell.workers.process.heartbeat import beat as beat_for
from agewell.workers.process.identity import name_worker, process_has_ended
from tests.support.consuming import RUN, consuming, look, send, waiting_ids, worker_app
from tests.support.taking import order_of, take

K = {"cv": 0.05}


@pytest.fixture
def app(settings, client):
    with worker_app(settings) as made:
        yield made


def beat(client, worker_id=RUN):
    beat_for(client, worker_id, ["cv"], redis_now(client))


def die(client, worker_id=RUN):
    client.delete(keys.worker_alive(worker_id))


def test_a_dead_workers_jobs_return_to_the_places_that_they_had(app, client, settings, ledger):
    sent = send(app, 5)
    places = order_of(client)
    for _ in range(3):
        take(client, RUN)
    beat(client)
    assert rescue_jobs(client, settings) == 0
    assert ledger.states(sent) == [State.RUNNING] * 3 + [State.WAITING] * 2
    die(client)
    assert rescue_jobs(client, settings) == 3
    assert order_of(client) == places
    assert ledger.states(sent) == [State.WAITING] * 5
    assert take(client, RUN).is_redelivered
    assert client.hget(keys.COUNTS, "returned") == b"3"


def test_a_job_that_returns_goes_before_those_that_it_had_passed(app, client, settings):
    """Level 9 at k = 0.05 is worth 180 s, and 40 s less than level 7."""
    old = send(app, priority=9, headers={"enqueued_at": redis_now(client) - 100})
    take(client, RUN)
    young = [*send(app, priority=7), *send(app, priority=3), *send(app, priority=5)]
    assert rescue_dead(client, settings) == 1
    # 80 s are left to the old one, 140 s, 60 s and 100 s to the young ones.
    assert waiting_ids(client) == [young[1], *old, young[2], young[0]]


def rescue_dead(client, settings):
    die(client)
    return rescue_jobs(client, settings)


def test_ended_job_does_not_return(app, client, settings, ledger):
    [ended, acknowledged] = send(app, 2)
    assert take(client, RUN).job_id == ended
    delivery = take(client, RUN)
    app.backend.mark_as_done(ended, {"items": []}, request_of(ended))
    app.backend.mark_as_done(acknowledged, {"items": []}, request_of(acknowledged))
    acknowledge(client, keys.reserved(RUN), [delivery.tag])
    rescue_dead(client, settings)
    assert waiting_ids(client) == []
    assert ledger.states([ended, acknowledged]) == [State.DONE] * 2
    assert client.smembers(keys.WORKER_IDS) == set()
    assert not client.exists(keys.reserved(RUN))


def request_of(job_id):
    return Context(id=job_id, task="cv.hsv", args=[{}])


def test_giving_back_twice_gives_back_once(app, client):
    send(app)
    delivery = take(client, RUN)
    assert give_back(client, keys.reserved(RUN), delivery.tag, K)
    assert not give_back(client, keys.reserved(RUN), delivery.tag, K)
    assert len(waiting_ids(client)) == 1


def test_a_job_that_its_dead_worker_is_retrying_waits_for_its_time(app, client, settings):
    """The retry was published before the worker died, and the acknowledgement never came."""
    [job_id] = send(app)
    take(client, RUN)
    app.send_task("cv.hsv", args=[{}], task_id=job_id, retries=1, countdown=60)
    rescue_dead(client, settings)
    assert waiting_ids(client) == []
    assert client.zcard(keys.scheduled("cv")) == 1
    assert client.hget(keys.job(job_id), "lost") is None


def test_every_lost_delivery_counts_and_the_last_one_gives_the_job_up(
    app, client, settings, ledger
):
    [job_id] = send(app)
    for lost in (1, 2, 3):
        take(client, f"cv@host-{lost}:m.{lost}:1")
        assert rescue_jobs(client, settings) == 1
    assert settings.max_deliveries == 3
    assert waiting_ids(client) == []
    assert client.smembers(keys.GIVEN_UP) == {job_id.encode()}
    record = ledger.get(job_id)
    assert record.state is State.RUNNING
    assert [line.partition(" ")[2] for line in record.history] == [
        "cv@host-1",
        "cv@host-2",
        "cv@host-3",
    ]


def test_jobs_given_back_by_a_living_worker_count_as_no_loss(app, client, ledger):
    [job_id] = send(app)
    for _ in range(5):
        delivery = take(client, RUN)
        give_back(client, keys.reserved(RUN), delivery.tag, K)
    assert waiting_ids(client) == [job_id]
    assert ledger.get(job_id).history == ()


@pytest.fixture
def ended_process():
    """A process of this machine that has ended, but whose parent has not asked how."""
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    yield process
    process.wait()


def worker_of(pid, monkeypatch, name="cv@here"):
    """The id of a worker that ran as a process of another number."""
    with monkeypatch.context() as patched:
        patched.setattr(os, "getpid", lambda: pid)
        worker_id = name_worker(name)
    identity._MINE.discard(worker_id)
    return worker_id


def test_a_worker_whose_process_has_ended_is_dead_though_it_has_just_beaten(
    app, client, settings, ended_process, monkeypatch
):
    worker_id = worker_of(ended_process.pid, monkeypatch)
    send(app, 2)
    beat(client, worker_id)
    take(client, worker_id)
    assert rescue_jobs(client, settings) == 1
    assert len(waiting_ids(client)) == 2
    # Its last take comes to Redis only now.
    take(client, worker_id)
    ended_process.wait()
    assert rescue_jobs(client, settings) == 1
    die(client, worker_id)
    assert rescue_jobs(client, settings) == 0
    assert len(waiting_ids(client)) == 2
    assert client.smembers(keys.WORKER_IDS) == set()


@pytest.mark.parametrize(
    "worker_id",
    [
        name_worker("cv@here"),
        name_worker("cv@here").replace(f".{os.getpid()}:", ".1:"),  # of another user's, perhaps
        "cv@elsewhere:0123456789abcdef.999999999:1",
        "cv@elsewhere:.999999999:1",
        "cv@here:1",
        "",
    ],
    ids=["this one", "of pid 1", "of another machine", "of an unknown one", "of old", "nobody's"],
)
def test_a_process_that_lives_or_cannot_be_seen_has_not_ended(worker_id):
    assert not process_has_ended(worker_id)


def succeed(client, settings, name="cv@here"):
    """Start a worker of this process. Returns the number of its predecessors' jobs that return."""
    return rescue_predecessors(client, name_worker(name), settings, DEAD_AFTER_S)


def taken_by(client, worker_id):
    beat(client, worker_id)
    return take(client, worker_id)


def test_a_restarted_worker_removes_its_dead_predecessor_at_once(
    app, client, settings, ended_process, monkeypatch
):
    send(app, 2)
    worker_id = worker_of(ended_process.pid, monkeypatch)
    taken_by(client, worker_id)
    assert succeed(client, settings) == 1
    assert len(waiting_ids(client)) == 2
    assert client.smembers(keys.WORKER_IDS) == set()
    assert not client.exists(keys.worker_alive(worker_id))


def test_a_predecessor_may_have_had_the_same_process_number(app, client, settings, monkeypatch):
    send(app)
    taken_by(client, worker_of(os.getpid(), monkeypatch))
    assert succeed(client, settings) == 1


def test_a_worker_that_has_lost_its_connection_is_not_its_own_predecessor(app, client, settings):
    send(app)
    taken_by(client, name_worker("cv@here"))
    assert succeed(client, settings) == 0


@pytest.mark.parametrize("name", ["cv@there", "infer@here"])
def test_a_worker_of_another_name_is_no_predecessor(app, client, settings, monkeypatch, name):
    send(app)
    taken_by(client, worker_of(os.getpid(), monkeypatch, name))
    assert succeed(client, settings) == 0


def test_a_living_worker_of_the_same_name_is_no_predecessor(app, client, settings, monkeypatch):
    send(app)
    taken_by(client, worker_of(os.getppid(), monkeypatch))
    assert succeed(client, settings) == 0


@pytest.mark.parametrize(("silent_s", "returned"), [(0, 0), (3, 1)])
def test_a_container_that_is_started_again_removes_its_predecessor(
    app, client, settings, monkeypatch, silent_s, returned
):
    """It has the same host and process number, but another namespace. A twin would beat."""
    send(app)
    host, _, namespace = identity._machine().partition("-")
    before = worker_of(os.getpid(), monkeypatch).replace(f"-{namespace}.", "-12345.")
    assert host in before
    taken_by(client, before)
    client.pexpire(keys.worker_alive(before), 1000 * (DEAD_AFTER_S - silent_s))
    assert succeed(client, settings) == returned


def test_a_container_on_another_host_is_no_predecessor(app, client, settings, monkeypatch):
    send(app)
    host = identity._machine().partition("-")[0]
    before = worker_of(os.getpid(), monkeypatch).replace(host, "0123456789abcdef")
    taken_by(client, before)
    client.pexpire(keys.worker_alive(before), 100)
    assert succeed(client, settings) == 0


def test_job_taken_by_a_worker_that_passes_for_dead_returns(app, client, settings, monkeypatch):
    """It was silent, and wakes: while it is looked at, it may beat and take a job."""
    beat(client)
    die(client)
    return_jobs = rescue_module._return_jobs

    def wake_meanwhile(*args):
        returned = return_jobs(*args)
        beat(client)
        send(app)
        take(client, RUN)
        return returned

    with monkeypatch.context() as patched:
        patched.setattr(rescue_module, "_return_jobs", wake_meanwhile)
        rescue_jobs(client, settings)
    assert rescue_dead(client, settings) == 1
    assert len(waiting_ids(client)) == 1


def test_job_of_a_forgotten_worker_returns(app, client, settings):
    beat(client)
    assert rescue_dead(client, settings) == 0
    assert client.smembers(keys.WORKER_IDS) == set()
    send(app)
    with consuming(app) as (got, connection):  # it wakes, and takes before its next beat
        look(connection, until=lambda: got)
        assert client.smembers(keys.WORKER_IDS) == {RUN.encode()}
        assert rescue_dead(client, settings) == 1
        assert len(waiting_ids(client)) == 1


def test_jobs_return_from_a_dead_worker_while_redis_is_full(app, client, settings):
    sent = send(app, 3)
    for _ in sent:
        take(client, RUN)
    client.config_set("maxmemory", 1)
    try:
        assert rescue_dead(client, settings) == 3
    finally:
        client.config_set("maxmemory", 0)
    assert waiting_ids(client) == sent


@pytest.mark.parametrize("level", [0, 7])
def test_another_queues_message_returns_to_the_list_that_it_came_from(client, settings, level):
    came_from = keys.inlet("theirs", level)
    raw = json.dumps({"headers": {"id": "a"}, "properties": {"delivery_info": {}}})
    client.rpush(came_from, raw, "no message")
    for _ in range(2):
        take(client, RUN, queue="theirs")
    client.lpush(came_from, "later")
    assert rescue_dead(client, settings) == 2
    later, returned, odd = client.lrange(came_from, 0, -1)
    assert (later, odd) == (b"later", b"no message")
    assert json.loads(returned)["headers"]["redelivered"] is True


@pytest.mark.parametrize("value", [b"nan", b"-nan", b"inf", b"abc", b""])
@pytest.mark.parametrize("field", ["enqueued_at", "since", "level", "lost"])
def test_job_returns_with_any_state_in_its_record(app, client, settings, ledger, field, value):
    [job_id] = send(app)
    take(client, RUN)
    client.hset(keys.job(job_id), field, value)
    assert rescue_dead(client, settings) == 1
    assert ledger.state(job_id) is State.WAITING
    assert waiting_ids(client) == [job_id]
