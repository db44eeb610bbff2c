"""What a dead worker held comes back; and who is dead."""

import json
import os
import subprocess

import pytest
from workers.liveness import beat, return_jobs_of_dead_workers
from workers.reserved import give_back
from workers.sweep import sweep

from shared import keys
from shared.aging import AgingPolicy
from shared.oversize import shrinking_script
from shared.queue.ledger import Ledger, Start
from shared.queue.record import State
from tests.integration.consuming import RUN, consuming, look, send, worker_app
from workers import liveness
from workers.processes import has_ended, name_run


@pytest.fixture
def app(settings, client):
    return worker_app(settings)


def test_a_dead_workers_messages_come_back_to_the_head_in_their_old_order(app, client):
    sent = send(app, 5)
    take(app, client, 3)
    beat(client, RUN)
    assert return_jobs_of_dead_workers(client) == 0
    client.delete(keys.worker_alive(RUN))
    assert return_jobs_of_dead_workers(client) == 3
    waiting = client.lrange(keys.waiting_list("cv", 5), 0, -1)[::-1]
    assert [json.loads(raw)["headers"]["id"] for raw in waiting] == sent
    assert json.loads(waiting[0])["headers"]["redelivered"] is True
    assert return_jobs_of_dead_workers(client) == 0


def test_a_job_that_a_dead_worker_had_keeps_its_age_and_climbs_as_if_it_had_waited(app, client):
    policy, level_s = AgingPolicy(0.05), 20
    [old] = send(app, priority=9)
    [raw] = client.lrange(keys.waiting_list("cv", 9), 0, -1)
    at = json.loads(raw)["headers"]["enqueued_at"]
    take(app, client, 1)
    [young] = send(app, priority=7)
    client.sadd(keys.WORKER_IDS, RUN)
    assert return_jobs_of_dead_workers(client) == 1
    sweep(client, "cv", policy, now=at + 3 * level_s - 1, since=at)
    waiting = {level: client.lrange(keys.waiting_list("cv", level), 0, -1) for level in range(10)}
    found = {level: [json.loads(raw)["headers"] for raw in raws] for level, raws in waiting.items()}
    assert {level: [each["id"] for each in found[level]] for level in found if found[level]} == {
        7: [old],
        5: [young],
    }
    assert found[7][0]["enqueued_at"] == at
    assert found[7][0]["redelivered"] is True


def take(app, client, count, run=RUN):
    """Take messages as a worker that is killed before it has read one answer."""
    lists = [keys.waiting_list("cv", level) for level in range(10)]
    held = (keys.reserved(run), keys.WORKER_IDS, *lists)
    for number in range(count):
        client.eval(
            shrinking_script("workers", "take"), len(held), *held, "", f"{number:012x}-tag", 2**22
        )


def test_giving_back_twice_gives_back_once(app, client):
    send(app)
    take(app, client, 1)
    [tag] = client.hkeys(keys.reserved(RUN))
    assert give_back(client, keys.reserved(RUN), tag.decode())
    assert not give_back(client, keys.reserved(RUN), tag.decode())
    assert client.llen(keys.waiting_list("cv", 5)) == 1


def test_a_job_that_its_dead_worker_ran_is_still_running_until_it_starts_again(app, client):
    ledger = Ledger(client, 1000)
    [job_id] = send(app)
    take(app, client, 1)
    ledger.start(Start(job_id, "hsv", 1, "cv@here", 5, None), 3)
    beat(client, RUN)
    client.delete(keys.worker_alive(RUN))
    return_jobs_of_dead_workers(client)
    assert ledger.get(job_id).state is State.RUNNING
    assert client.llen(keys.waiting_list("cv", 5)) == 1


@pytest.fixture
def ended_process():
    """A process of this machine that has ended, but whose parent has not asked how."""
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    yield process
    process.wait()


def run_of(pid, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(os, "getpid", lambda: pid)
        return name_run("cv@here")


def test_a_worker_whose_process_is_seen_to_have_ended_is_dead_though_it_has_just_beaten(
    app, client, ended_process, monkeypatch
):
    run = run_of(ended_process.pid, monkeypatch)
    send(app, 2)
    beat(client, run)
    take(app, client, 1, run)
    assert return_jobs_of_dead_workers(client) == 1
    assert client.llen(keys.waiting_list("cv", 5)) == 2
    # What it asked for last comes to Redis only now.
    take(app, client, 1, run)
    ended_process.wait()
    assert return_jobs_of_dead_workers(client) == 1
    client.delete(keys.worker_alive(run))
    assert return_jobs_of_dead_workers(client) == 0
    assert client.llen(keys.waiting_list("cv", 5)) == 2
    assert client.smembers(keys.WORKER_IDS) == set()


@pytest.mark.parametrize(
    "run",
    [
        name_run("cv@here"),
        name_run("cv@here").replace(f".{os.getpid()}:", ".1:"),  # of another user's, perhaps
        "cv@elsewhere:0123456789abcdef.999999999:1",
        "cv@elsewhere:.999999999:1",
        "cv@here:1",
        "",
    ],
    ids=["this one", "of pid 1", "of another machine", "of an unknown one", "of old", "nobody's"],
)
def test_a_process_that_lives_or_cannot_be_seen_has_not_ended(run):
    assert not has_ended(run)


def test_what_a_run_takes_while_it_passes_for_dead_comes_back(app, client, monkeypatch):
    """It was silent, and wakes: while it is looked at, it may beat and take a message."""
    beat(client, RUN)
    client.delete(keys.worker_alive(RUN))
    return_jobs = liveness._return_jobs

    def wake_meanwhile(*args):
        returned = return_jobs(*args)
        beat(client, RUN)
        send(app)
        take(app, client, 1)
        return returned

    with monkeypatch.context() as patched:
        patched.setattr(liveness, "_return_jobs", wake_meanwhile)
        return_jobs_of_dead_workers(client)
    client.delete(keys.worker_alive(RUN))
    assert return_jobs_of_dead_workers(client) == 1
    assert client.llen(keys.waiting_list("cv", 5)) == 1


def test_what_a_run_takes_that_was_struck_off_comes_back(app, client):
    beat(client, RUN)
    client.delete(keys.worker_alive(RUN))
    assert return_jobs_of_dead_workers(client) == 0
    assert client.smembers(keys.WORKER_IDS) == set()
    send(app)
    with consuming(app) as (got, connection):  # it wakes, and takes before its next beat
        look(connection, until=lambda: got)
        assert client.smembers(keys.WORKER_IDS) == {RUN.encode()}
        assert return_jobs_of_dead_workers(client) == 1
    assert client.llen(keys.waiting_list("cv", 5)) == 1


@pytest.mark.parametrize(("priority", "level"), [("7", 7), (7, 7), (12, 9), (None, 0), ("x", 0)])
def test_what_comes_back_goes_to_the_level_that_kombu_reads(client, priority, level):
    properties = {"priority": priority, "delivery_info": {}}
    raw = json.dumps({"headers": {"id": "a"}, "properties": properties})
    client.hset(keys.reserved(RUN), "tag", f"{keys.waiting_list('cv', 5)}\n{raw}")
    assert give_back(client, keys.reserved(RUN), "tag")
    assert client.llen(keys.waiting_list("cv", level)) == 1
