"""Taking messages: noted in the same step, given back in order, and never waited for in vain."""

import json
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from queue import Empty

import kombu
import pytest
import redis

from shared import keys
from shared.aging import AgingPolicy
from shared.celery_app import make_app
from shared.dead_letters import DeadLetters
from shared.entry import State
from shared.ledger import Ledger, Start
from shared.scripts import script
from workers.amqp import WorkerAMQP
from workers.liveness import DEAD_AFTER_S, beat, return_jobs_of_dead_workers
from workers.processes import has_ended, name_run
from workers.reserved import give_back
from workers.sweep import sweep

RUN = "cv@here:1"


@pytest.fixture
def app(settings, client):
    app = make_app(settings, amqp=WorkerAMQP)
    where = {"unacked_key": keys.unacked(RUN)}
    app.conf.broker_transport_options = app.conf.broker_transport_options | where
    return app


def send(app, count=1, **options):
    return [app.send_task("cv.hsv", args=[{}], **options).id for _ in range(count)]


@contextmanager
def consuming(app, at_most=1):
    """A consumer as a worker's; what it was given, and how to have it look for more."""
    got = []
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        queue = app.amqp.queues["cv"]
        consumer = kombu.Consumer(
            channel, [queue], on_message=got.append, accept=["json"], prefetch_count=at_most
        )
        with consumer:
            yield got, connection


def look(connection, timeout_s=5.0, until=lambda: False):
    """Let the connection do what it does, until something came or the time is over."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and not until():
        try:
            connection.drain_events(timeout=0.05)
        except (TimeoutError, Empty):
            continue


def ids(messages):
    return [message.headers["id"] for message in messages]


def test_a_taken_message_is_noted_with_the_run_that_has_it(app, client):
    sent = send(app, 3)
    with consuming(app) as (got, connection):
        look(connection, until=lambda: got)
        assert ids(got) == sent[:1]
        assert client.llen(keys.waiting_list("cv", 5)) == 2
        [(tag, entry)] = client.hgetall(keys.unacked(RUN)).items()
        assert tag.decode() == got[0].delivery_tag
        waiting, _, raw = entry.partition(b"\n")
        assert waiting.decode() == keys.waiting_list("cv", 5)
        assert json.loads(raw)["headers"]["id"] == sent[0]
        got[0].ack()
        look(connection, until=lambda: len(got) == 2)
        assert client.hkeys(keys.unacked(RUN)) == [got[1].delivery_tag.encode()]


def commands_of(client):
    """How often Redis has run each command; those inside scripts count as well."""
    return Counter({name: each["calls"] for name, each in client.info("commandstats").items()})


def test_the_question_for_the_next_message_acknowledges_the_last(app, client):
    sent = send(app, 20)
    with consuming(app) as (got, connection):
        look(connection, until=lambda: got)
        before = commands_of(client)
        for count in range(2, 21):
            got[-1].ack()
            look(connection, until=lambda count=count: len(got) == count)
        done = commands_of(client) - before
    assert ids(got) == sent
    assert done["cmdstat_eval"] == done["cmdstat_hset"] == done["cmdstat_hdel"] == 19


def test_what_ends_in_a_thread_of_the_pool_is_acknowledged_at_once(app, client):
    send(app, 2)
    with consuming(app, at_most=0) as (got, connection):
        look(connection, until=lambda: len(got) == 2)
        thread = threading.Thread(target=got[0].ack)
        thread.start()
        thread.join()
        assert client.hkeys(keys.unacked(RUN)) == [got[1].delivery_tag.encode()]


def test_what_ends_while_nothing_is_asked_for_is_acknowledged_at_once(app, client):
    send(app, 3)
    with app.connection_for_read() as connection:
        queue, got = app.amqp.queues["cv"], []
        consumer = kombu.Consumer(
            connection.default_channel, [queue], on_message=got.append, prefetch_count=3
        )
        consumer.consume()
        look(connection, until=lambda: len(got) == 3)
        got[0].ack()  # the next question would say so, but the worker is told to stop
        consumer.cancel()
        assert client.hlen(keys.unacked(RUN)) == 2
        got[1].ack()
        assert client.hlen(keys.unacked(RUN)) == 1


def test_what_ends_after_its_connection_is_lost_comes_back_as_a_dead_runs_does(
    app, client, monkeypatch
):
    sent = send(app, 5)
    with consuming(app, at_most=4) as (got, connection):
        look(connection, until=lambda: len(got) == 4)
        channel, consumers = connection.default_channel, list(connection.default_channel._consumers)
        monkeypatch.setattr(channel.qos, "restore_unacked", lambda client=None: None)
        got[0].ack()
        channel.close()
        got[1].ack()
        channel.basic_reject(got[2].delivery_tag, requeue=True)
        channel.basic_reject(got[3].delivery_tag)
        for consumer in consumers:  # as Celery does when it starts anew, or stops
            channel.basic_cancel(consumer)
    client.sadd(keys.WORKER_RUNS, RUN)
    return_jobs_of_dead_workers(client)
    waiting = client.lrange(keys.waiting_list("cv", 5), 0, -1)[::-1]
    assert [json.loads(raw)["headers"]["id"] for raw in waiting] == sent[1:]


def test_a_channel_closes_although_its_connection_is_gone(app, client):
    send(app, 2)
    with consuming(app, at_most=2) as (got, connection):
        look(connection, until=lambda: len(got) == 2)
        channel = connection.default_channel
        got[0].ack()
        channel.connection.client = None  # what kombu does to one whose connection it has lost
        channel.close()
        assert channel.closed
    assert client.hlen(keys.unacked(RUN)) == 2


def test_a_channel_closes_although_redis_is_away(app, redis_server, client):
    app.conf.broker_transport_options |= {"socket_timeout": 0.2}
    send(app, 2)
    with consuming(app, at_most=2) as (got, connection):
        look(connection, until=lambda: len(got) == 2)
        channel = connection.default_channel
        got[0].ack()
        redis_server.process.send_signal(signal.SIGSTOP)
        try:
            channel.close()
        finally:
            redis_server.process.send_signal(signal.SIGCONT)
        assert channel.closed


def test_an_acknowledgement_that_is_lost_with_its_connection_is_sent_again(app, client):
    send(app)
    with consuming(app) as (got, connection):
        look(connection, until=lambda: got)
        channel = connection.default_channel
        # Redis is away between the job's end and the question.
        client.client_kill_filter(_type="normal", skipme=True)
        got[0].ack()
        with suppress(*connection.connection_errors):
            channel._ask()
            channel._brpop_read()
        assert client.hlen(keys.unacked(RUN)) == 1
        look(connection, 30, until=lambda: not client.hlen(keys.unacked(RUN)))
        assert client.hlen(keys.unacked(RUN)) == 0


def test_an_idle_worker_is_told_of_a_message_on_any_level(app, client):
    with consuming(app, at_most=0) as (got, connection):
        for level in (0, 9, 4):
            look(connection, 0.3)  # it has asked, and found nothing
            [sent] = send(app, priority=level)
            began = time.monotonic()
            look(connection, 30, until=lambda: got)
            assert ids(got) == [sent]
            # Far sooner than the look that it takes by itself every five seconds.
            assert time.monotonic() - began < 4
            got.pop().ack()


def test_a_message_pushed_by_somebody_else_is_heard_of_too(app, client):
    plain = kombu.Connection(app.conf.broker_url, transport_options={"priority_steps": [0]})
    with consuming(app) as (got, connection):
        look(connection, 0.3)
        with plain, plain.SimpleQueue("cv") as queue:
            queue.put({"hello": "world"})
        look(connection, 30, until=lambda: got)
        assert [message.payload for message in got] == [{"hello": "world"}]


def test_a_worker_that_may_take_no_more_keeps_its_connection(app, client):
    sent = send(app)
    with consuming(app) as (got, connection):
        look(connection, until=lambda: got)
        channel = connection.default_channel
        before = channel.client.connection._sock
        sent += send(app, 5)  # its lists change, and it has no credit to ask
        look(connection, 1)
        assert ids(got) == sent[:1]
        assert channel.client.connection._sock is before
        got[0].ack()
        look(connection, until=lambda: len(got) > 1)
        assert ids(got) == sent[:2]


def test_a_worker_whose_slots_fill_while_it_listens_takes_nothing_until_one_is_free(
    app, client, monkeypatch
):
    monkeypatch.setattr("workers.channel.ASK_AGAIN_AFTER_S", 0)
    sent = send(app)
    with consuming(app, at_most=2) as (got, connection):
        look(connection, 30, until=lambda: got)
        look(connection, 0.3)  # it has asked for one more, and listens
        channel = connection.default_channel
        channel.basic_qos(0, 1, False)  # as Celery does when a job's countdown ends
        sent += send(app)
        for _ in range(2):
            channel.ask_again()
            look(connection, 0.3)
        assert client.llen(keys.waiting_list("cv", 5)) == 1
        got[0].ack()
        # Nobody asks again: it asks by itself when it may.
        look(connection, 30, until=lambda: len(got) > 1)
        assert ids(got) == sent


def test_a_worker_without_a_free_slot_takes_nothing_from_a_queue_that_is_added(app, client):
    sent = send(app)
    with consuming(app, at_most=2) as (got, connection):
        look(connection, 30, until=lambda: got)
        look(connection, 0.3)  # it listens
        sent.append(app.send_task("infer.run", args=[{}]).id)
        queue, channel = app.amqp.queues["infer"], connection.default_channel
        with kombu.Consumer(
            channel, [queue], on_message=got.append, accept=["json"], prefetch_count=1
        ):
            look(connection, 0.5)
            assert client.llen(keys.waiting_list("infer", 5)) == 1
            got[0].ack()
            look(connection, 30, until=lambda: len(got) > 1)
            assert ids(got) == sent


def test_the_most_urgent_level_comes_first(app):
    bulk, urgent, normal = (send(app, priority=level)[0] for level in (9, 0, 5))
    with consuming(app, at_most=0) as (got, connection):
        look(connection, until=lambda: len(got) == 3)
    assert ids(got) == [urgent, normal, bulk]


def test_what_a_closing_channel_still_held_lies_at_the_head_in_its_old_order(app, client):
    sent = send(app, 5)
    with consuming(app, at_most=3) as (got, connection):
        look(connection, until=lambda: len(got) == 3)
    assert client.hlen(keys.unacked(RUN)) == 0
    waiting = client.lrange(keys.waiting_list("cv", 5), 0, -1)[::-1]
    assert [json.loads(raw)["headers"]["id"] for raw in waiting] == sent


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
    client.sadd(keys.WORKER_RUNS, RUN)
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
    for number in range(count):
        client.eval(script("workers", "take"), 11, keys.unacked(run), *lists, f"{number:012x}-tag")


def test_an_answer_that_is_lost_with_its_connection_is_given_back(app, client):
    with consuming(app, at_most=0) as (got, connection):
        look(connection, 0.3)
        channel = connection.default_channel
        # Redis takes a message for this connection, and the connection is gone before it hears.
        sent = send(app, 2)
        channel._ask()
        deadline = time.monotonic() + 10
        while not client.hlen(keys.unacked(RUN)) and time.monotonic() < deadline:
            time.sleep(0.01)
        channel.client.connection.disconnect()
        look(connection, 30, until=lambda: len(got) == 2)
        assert ids(got) == sent


@pytest.mark.parametrize("raw", ["", "null", "5", "[]", "{}", b"\xff\xfe", '{"properties": 3}'])
def test_what_is_no_message_goes_to_the_dead_letters(app, client, raw):
    client.lpush("cv", raw)
    [behind] = send(app)
    with consuming(app, at_most=0) as (got, connection):
        look(connection, until=lambda: got)
        assert ids(got) == [behind]
        [letter] = DeadLetters(client).list()
        assert letter.raw == (raw if isinstance(raw, bytes) else raw.encode())
        assert letter.queue == "cv"
        assert client.hlen(keys.unacked(RUN)) == 1
        assert client.hget(keys.COUNTS, "refused") == b"1"


def test_giving_back_twice_gives_back_once(app, client):
    send(app)
    take(app, client, 1)
    [tag] = client.hkeys(keys.unacked(RUN))
    assert give_back(client, keys.unacked(RUN), tag.decode())
    assert not give_back(client, keys.unacked(RUN), tag.decode())
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


def test_what_nobody_acknowledges_is_not_kept(app, client):
    app.amqp.queues.add("replies", exchange="replies", routing_key="replies")
    got = []
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        queue = app.amqp.queues["replies"]
        with kombu.Consumer(channel, [queue], on_message=got.append, no_ack=True):
            with app.connection_for_write() as other, other.Producer() as producer:
                producer.publish({}, exchange="replies", routing_key="replies", declare=[queue])
            look(connection, until=lambda: got)
    assert len(got) == 1
    assert client.hlen(keys.unacked(RUN)) == 0


def test_a_worker_lives_and_works_on_a_redis_that_is_full(app, client):
    sent = send(app, 2)
    with consuming(app) as (got, connection):
        client.config_set("maxmemory", 1)
        try:
            with pytest.raises(redis.exceptions.OutOfMemoryError):
                client.set("somebody", "else's")
            beat(client, RUN)
            look(connection, until=lambda: got)
            got[0].ack()
            look(connection, until=lambda: len(got) > 1)
            assert ids(got) == sent
            assert client.hlen(keys.unacked(RUN)) == 1
            assert 0 < client.ttl(keys.worker_alive(RUN)) <= DEAD_AFTER_S
            assert client.sismember(keys.WORKER_RUNS, RUN)
        finally:
            client.config_set("maxmemory", 0)


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
    assert client.smembers(keys.WORKER_RUNS) == set()


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
