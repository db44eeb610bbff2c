"""Jobs that the previous version has left in Redis run once, and in order.

It kept each waiting job's message in a list of kombu's, and each running job's beside the name of
that list among what its worker had reserved. Records had no message and no place.
"""

import json
from datetime import UTC, datetime

import pytest
from celery.exceptions import TaskRevokedError

from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from agewell.shared.redis.clock import redis_now
from agewell.workers.maintenance.aging import reprioritise
from agewell.workers.maintenance.expire import expire
from agewell.workers.maintenance.orphans import find_orphans
from agewell.workers.maintenance.rescue import rescue_jobs
from tests.support.consuming import scheduled_ids, waiting_ids
from tests.support.delivering import deliver, make_due
from tests.support.envelopes import envelope
from tests.support.messages import good_job

OLD_WORKER = "cv@old:0123456789abcdef.77:0f"


@pytest.fixture
def tick(client, settings):
    def admit():
        reprioritise(client, settings, redis_now(client))

    return admit


def message(job_id, level, at, **headers):
    found = envelope(good_job(), job_id)
    found["headers"] |= {"enqueued_at": at, "items": 1} | headers
    found["properties"]["priority"] = level
    return json.dumps(found)


def list_of(level, queue="cv"):
    return f"{queue}\x06\x16{level}" if level else queue


def waiting(client, job_id, level=5, waited_s=10.0, **more):
    """A waiting job, as the previous version published it."""
    at = redis_now(client) - waited_s
    record = {"state": "waiting", "op": "hsv", "level": level, "items": 1, "enqueued_at": at}
    client.hset(keys.job(job_id), mapping=record | more)
    client.zadd("agewell:jobs:waiting", {job_id: at})
    headers = {"deadline_at": more["deadline_at"]} if "deadline_at" in more else {}
    if headers:
        client.zadd("agewell:deadlines", {job_id: more["deadline_at"]})
    client.lpush(list_of(level), message(job_id, level, at, **headers))


def running(client, job_id, level=5):
    """A job that a worker of the previous version runs."""
    at = redis_now(client) - 10
    record = {"state": "running", "op": "hsv", "items": 1, "started_at": at + 1, "level": level,
              "worker": "cv@old", "pid": 78, "enqueued_at": at, "start_token": "x"}  # fmt: skip
    client.hset(keys.job(job_id), mapping=record)
    client.zadd("agewell:jobs:running", {job_id: at + 1})
    entry = f"{list_of(level)}\n{message(job_id, level, at)}"
    client.hset(f"agewell:unacked:{OLD_WORKER}", f"tag-{job_id}", entry)
    client.sadd("agewell:worker-runs", OLD_WORKER)


def open_jobs(client):
    return client.zcard("agewell:jobs:waiting") + client.zcard("agewell:jobs:running")


def test_waiting_jobs_run_once_in_the_order_of_their_weights(app, client, tools, settings, tick):
    jobs = {"a": (5, 10), "b": (0, 1), "c": (9, 900), "d": (5, 200), "e": (2, 0), "f": (9, 5)}
    for job_id, (level, waited_s) in jobs.items():
        waiting(client, job_id, level, waited_s)
    sent_at = {job_id: tools.ledger.get(job_id).enqueued_at for job_id in jobs}
    assert tools.ledger.counts()[State.WAITING] == 6
    tick()
    # Of two jobs, the one with the larger k t - level goes first.
    weight = {each: settings.aging_k * waited_s - level for each, (level, waited_s) in jobs.items()}
    assert waiting_ids(client) == sorted(jobs, key=weight.__getitem__, reverse=True)
    assert {job_id: tools.ledger.get(job_id).enqueued_at for job_id in jobs} == sent_at
    for _ in jobs:
        deliver(app)
    assert tools.ledger.states(jobs) == [State.DONE] * 6
    assert (open_jobs(client), client.keys("cv*")) == (0, [])


def test_a_worker_admits_them_without_upkeep(app, client, tools):
    waiting(client, "a")
    deliver(app)
    assert tools.ledger.state("a") is State.DONE


def test_a_dead_workers_jobs_return_and_run_once(app, client, tools, settings, tick):
    running(client, "a")
    running(client, "b", level=0)
    assert rescue_jobs(client, settings) == 2
    tick()
    assert tools.ledger.states(["a", "b"]) == [State.WAITING] * 2
    assert waiting_ids(client) == ["b", "a"]
    for _ in range(2):
        deliver(app)
    assert tools.ledger.states(["a", "b"]) == [State.DONE] * 2
    assert open_jobs(client) == 0
    assert not client.sismember("agewell:worker-runs", OLD_WORKER)


def test_a_living_worker_of_the_previous_version_ends_its_jobs(app, client, tools, settings):
    """During a rolling upgrade its job is neither lost nor given to another worker."""
    running(client, "a")
    client.set(f"agewell:worker-alive:{OLD_WORKER}", 1, ex=8)
    assert rescue_jobs(client, settings) == 0
    for _ in range(3):
        assert find_orphans(app, client, settings, redis_now(client)).lost == 0
    assert tools.ledger.state("a") is State.RUNNING


def test_jobs_that_are_to_be_tried_again_wait_for_their_time(app, client, tools, tick):
    now = redis_now(client)
    record = {"state": "waiting", "op": "hsv", "level": 5, "items": 1, "enqueued_at": now - 60,
              "retries": 1, "started_at": now - 50}  # fmt: skip
    client.hset(keys.job("a"), mapping=record)
    client.zadd("agewell:jobs:waiting", {"a": now - 60})
    eta = datetime.fromtimestamp(now + 30, UTC).isoformat()
    client.lpush(list_of(5), message("a", 5, now - 60, retries=1, eta=eta))
    tick()
    assert (scheduled_ids(client), waiting_ids(client)) == (["a"], [])
    make_due(client)
    deliver(app)
    assert tools.ledger.state("a") is State.DONE


def test_jobs_expire_before_and_after_they_are_admitted(app, client, tools, tick):
    now = redis_now(client)
    waiting(client, "a", deadline_at=now - 1)
    assert expire(app.backend, client, tools.ledger.lifetimes, now) == 1
    waiting(client, "b", deadline_at=now + 60)
    tick()
    assert waiting_ids(client) == ["b"]
    assert expire(app.backend, client, tools.ledger.lifetimes, now + 61) == 1
    assert tools.ledger.states(["a", "b"]) == [State.EXPIRED] * 2
    assert (waiting_ids(client), client.zcard("agewell:deadlines")) == ([], 0)


def test_jobs_that_are_cancelled_before_they_are_admitted_do_not_run(app, client, tools, tick):
    waiting(client, "a")
    assert app.backend.end_open("a", TaskRevokedError("cancelled"), State.WAITING)
    tick()
    assert waiting_ids(client) == []
    assert tools.ledger.state("a") is State.CANCELLED


def test_a_waiting_job_whose_message_is_on_its_way_in_is_not_lost(app, client, tools, settings):
    for number in range(3):
        waiting(client, f"job-{number}")
    for _ in range(3):
        assert find_orphans(app, client, settings, redis_now(client)).lost == 0
    assert tools.ledger.counts()[State.WAITING] == 3


def test_ended_jobs_are_shown_as_before(client, tools):
    record = {"state": "failed", "op": "hsv", "level": 5, "items": 2, "enqueued_at": 1e9,
              "started_at": 1e9 + 1, "ended_at": 1e9 + 2, "worker": "cv@old", "pid": 78,
              "items_failed": 1, "error": "no image", "runs_lost": 1, "start_token": "x",
              "history": "1000000000.5 cv@old\n", "inputs": "[]"}  # fmt: skip
    client.hset(keys.job("a"), mapping=record)
    found = tools.ledger.get("a")
    assert (found.state, found.worker, found.error) == (State.FAILED, "cv@old", "no image")
    assert (found.ended_at, found.items, found.items_failed) == (1e9 + 2, 2, 1)
    assert found.history == ("1000000000.5 cv@old",)


def test_upkeeps_own_messages_are_admitted_and_leave_nothing_behind(client, settings, tick):
    raw = envelope({}, "0f-1")
    raw["headers"] |= {"task": "upkeep.return_jobs", "expires": "2026-01-01T00:00:00+00:00"}
    client.lpush(list_of(5, "upkeep"), json.dumps(raw))
    tick()
    assert waiting_ids(client, "upkeep") == ["0f-1"]
    assert client.zcard("agewell:jobs:waiting") == 0
