"""Taking jobs: in the order of virtual time, whoever sent them, and reserved in the same step."""

import time
from datetime import UTC, datetime, timedelta

import celery
import pytest

from agewell.shared.celery.app import broker_url
from agewell.shared.queue.record import State
from agewell.shared.queue.status import queue_status
from agewell.shared.redis import keys
from agewell.shared.redis.clock import redis_now
from agewell.shared.settings import MAX_MESSAGE_BYTES
from agewell.workers.consuming.take import TAKE, prepare_take, take_arguments
from tests.support.consuming import RUN, consuming, ids, look, send, worker_app
from tests.support.ordering import START, Scripts


def test_more_urgent_job_is_taken_first(settings, client):
    app = worker_app(settings)
    slow, fast = send(app, priority=9), send(app, priority=0)
    with consuming(app, at_most=2) as (got, connection):
        look(connection, until=lambda: len(got) == 2)
    assert ids(got) == [*fast, *slow]


def test_equal_virtual_times_are_first_come_first_served(settings, client):
    app = worker_app(settings)
    sent = send(app, 50, priority=5, headers={"enqueued_at": redis_now(client)})
    with consuming(app, at_most=50) as (got, connection):
        look(connection, until=lambda: len(got) == 50)
    assert ids(got) == sent


def test_taken_job_is_reserved_and_runs(settings, client):
    app = worker_app(settings)
    [job_id] = send(app)
    with consuming(app) as (got, connection):
        look(connection, until=lambda: got)
        entries = client.hvals(keys.reserved(RUN))
        assert entries == [b"\ncv\n" + job_id.encode()]
        assert client.hget(keys.job(job_id), "state") == b"running"
        assert client.zscore(keys.jobs(State.RUNNING), job_id) is not None
        got[0].ack()
        connection.default_channel.qos.acknowledge_ended()
    assert not client.exists(keys.reserved(RUN))


def test_worker_of_several_queues_takes_the_first_due_job(client):
    """cv's levels are strict, but hold nothing up that waits in infer, nor the other way round."""
    ks = {"cv": 0.0, "infer": 0.05}
    queues = {name: Scripts(client, queue=name) for name in ks}
    sent = [("cv", "a", 5, 0), ("cv", "b", 9, 1), ("cv", "c", 5, 2), ("cv", "d", 0, 30),
            ("infer", "e", 0, 3), ("infer", "f", 1, 4), ("infer", "g", 0, 40)]  # fmt: skip
    for queue, job_id, level, at in sent:
        queues[queue].publish(job_id, level, START + 50, ks[queue], enqueued_at=START + at)
    # Of cv, in its order: d, a, c, b. Of infer, by 20 s a level: e at 3, f at 24, g at 40.
    prepared = prepare_take(ks, "", keys.reserved(RUN), MAX_MESSAGE_BYTES, ks)
    taken = []
    for number in range(len(sent)):
        command = prepared.command(*take_arguments(f"tag-{number}", START + 50))
        taken.append(TAKE.run(client, command)[4].decode())
    assert taken == ["e", "f", "d", "a", "c", "b", "g"]


def test_plain_clients_message_is_in_order(settings, client):
    with celery.Celery(broker=broker_url(settings.redis_url.get_secret_value())) as plain:
        plain.conf.broker_transport_options = {"priority_steps": list(range(10))}
        ids_of = {
            level: plain.send_task("cv.hsv", [{}], queue="cv", priority=level).id
            for level in (9, 0, 5)
        }
    app = worker_app(settings)
    with consuming(app, at_most=3) as (got, connection):
        look(connection, until=lambda: len(got) == 3)
    assert ids(got) == [ids_of[0], ids_of[5], ids_of[9]]


def test_countdown_waits_in_redis(settings, client):
    app = worker_app(settings)
    [job_id] = send(app, countdown=0.3)
    with consuming(app) as (got, connection):
        look(connection, timeout_s=0.2)
        assert not got
        assert client.zcard(keys.scheduled("cv")) == 1
        look(connection, timeout_s=8, until=lambda: got)
    assert ids(got) == [job_id]


def test_eta_of_plain_client_is_read(settings, client):
    due = datetime.now(UTC) + timedelta(hours=2)
    with celery.Celery(broker=broker_url(settings.redis_url.get_secret_value())) as plain:
        plain.send_task("cv.hsv", [{}], queue="cv", eta=due)
    app = worker_app(settings)
    with consuming(app) as (got, connection):
        look(connection, timeout_s=0.3)
    assert not got
    [(_, due_at)] = client.zrange(keys.scheduled("cv"), 0, -1, withscores=True)
    assert abs(due_at - due.timestamp()) < 1e-3


def test_given_back_job_keeps_its_place(settings, client):
    app = worker_app(settings)
    sent = send(app, 3)
    with consuming(app, at_most=1) as (got, connection):
        look(connection, until=lambda: got)
        got[0].requeue()
        look(connection, until=lambda: len(got) == 2)
    assert ids(got) == [sent[0], sent[0]]
    assert got[1].headers["redelivered"]


@pytest.mark.alone
def test_job_published_to_waiting_worker_arrives_at_once(settings, client):
    app = worker_app(settings)
    with consuming(app) as (got, connection):
        look(connection, timeout_s=0.3)
        started = time.monotonic()
        send(app)
        look(connection, until=lambda: got)
        assert time.monotonic() - started < 1


def test_status_counts_levels(settings, client):
    app = worker_app(settings)
    send(app, 2, priority=9)
    send(app, 3, priority=0)
    [cv, *_] = queue_status(client, settings, redis_now(client))
    assert [level.waiting for level in cv.levels] == [3, 0, 0, 0, 0, 0, 0, 0, 0, 2]
