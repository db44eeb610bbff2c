"""Taking messages: reserved in the same step, given back in order, and never waited for in vain."""

import time

import celery
import kombu
import pytest
import redis

from agewell.shared.celery.app import broker_url
from agewell.shared.queue.dead_letters import DeadLetters
from agewell.shared.redis import keys
from agewell.shared.redis.clock import redis_now
from agewell.shared.settings import MAX_MESSAGE_BYTES
from agewell.workers.maintenance.give_up import give_up_refused_messages
from agewell.workers.process.heartbeat import DEAD_AFTER_S, beat
from tests.support.consuming import (
    RUN,
    consuming,
    ids,
    look,
    message_of,
    send,
    waiting_ids,
    worker_app,
)


@pytest.fixture
def app(settings, client):
    return worker_app(settings)


def test_each_take_lets_go_of_the_job_before(app, client):
    sent = send(app, 3)
    with consuming(app) as (got, connection):
        look(connection, until=lambda: got)
        assert waiting_ids(client) == sent[1:]
        assert client.hkeys(keys.reserved(RUN)) == [got[0].delivery_tag.encode()]
        assert message_of(client, sent[0])["headers"]["id"] == sent[0]
        got[0].ack()
        look(connection, until=lambda: len(got) == 2)
        assert client.hkeys(keys.reserved(RUN)) == [got[1].delivery_tag.encode()]


@pytest.mark.alone
def test_idle_worker_is_woken_for_every_level(app, client):
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


def test_one_job_wakes_one_of_many_idle_workers(app, client):
    with (
        consuming(app) as (first, one),
        consuming(app) as (second, two),
        consuming(app) as (third, three),
    ):
        idle = (one, two, three)
        for connection in idle:
            look(connection, 0.3)
        client.config_resetstat()
        send(app)
        until = time.monotonic() + 1
        while time.monotonic() < until:
            for connection in idle:
                look(connection, 0.05)
        scripts = client.info("commandstats")["cmdstat_evalsha"]["calls"]
        assert len(first + second + third) == 1
        assert scripts == 2  # the publish and one take


def test_message_pushed_by_another_program_is_taken_too(app, client):
    plain = kombu.Connection(app.conf.broker_url, transport_options={"priority_steps": [0]})
    with consuming(app) as (got, connection):
        look(connection, 0.3)
        with plain, plain.SimpleQueue("cv") as queue:
            queue.put({"hello": "world"})
        look(connection, 30, until=lambda: got)
        assert [message.payload for message in got] == [{"hello": "world"}]


def test_worker_without_a_free_slot_keeps_its_connection(app, client):
    sent = send(app)
    with consuming(app) as (got, connection):
        look(connection, until=lambda: got)
        channel = connection.default_channel
        before = channel.client.connection._sock
        sent += send(app, 5)
        look(connection, 1)
        assert ids(got) == sent[:1]
        assert channel.client.connection._sock is before
        got[0].ack()
        look(connection, until=lambda: len(got) > 1)
        assert ids(got) == sent[:2]


def test_worker_whose_slots_fill_while_it_waits_takes_nothing(app, client):
    sent = send(app)
    with consuming(app, at_most=2) as (got, connection):
        look(connection, 30, until=lambda: got)
        look(connection, 0.3)  # it has asked for one more, and waits
        channel = connection.default_channel
        channel.basic_qos(0, 1, False)  # as Celery does if its pool shrinks
        sent += send(app)
        look(connection, 0.5)
        assert waiting_ids(client) == sent[1:]
        got[0].ack()
        # Nobody asks again: it asks by itself when it may.
        look(connection, 30, until=lambda: len(got) > 1)
        assert ids(got) == sent


def test_job_of_which_a_busy_worker_was_told_wakes_another(app, client, settings):
    other = worker_app(settings, "cv@other:1")
    with consuming(other) as (got, idle), consuming(app) as (_, busy):
        look(busy, 0.3)  # the first to wait is the first to be woken
        look(idle, 0.3)
        busy.default_channel.qos.can_consume = lambda: False
        [sent] = send(app)
        look(busy, 0.3)
        look(idle, 0.3)
        assert not got
        beat(client, "cv@other:1", ["cv"], redis_now(client))  # as some worker does each second
        look(idle, 5, until=lambda: got)
        assert ids(got) == [sent]


def test_worker_that_stops_is_told_of_no_more_jobs(app, client, settings):
    other = worker_app(settings, "cv@other:1")
    with consuming(other) as (got, idle):
        with consuming(app) as (_, stopping):
            look(stopping, 0.3)
            look(idle, 0.3)
            assert client.zcard(keys.idle("cv")) == 2
        assert client.zcard(keys.idle("cv")) == 1
        [sent] = send(app)
        look(idle, 5, until=lambda: got)
        assert ids(got) == [sent]


def test_jobs_go_to_idle_workers_in_turn(app, client, settings):
    other = worker_app(settings, "cv@other:1")
    with consuming(app) as (got, first), consuming(other) as (others, second):
        look(first, 0.3)
        look(second, 0.3)
        for count in range(1, 4):
            send(app)
            look(first, 5, until=lambda count=count: len(got) == count)
            got[-1].ack()
            look(first, 0.3)
            send(app)
            look(second, 5, until=lambda count=count: len(others) == count)
            others[-1].ack()
            look(second, 0.3)


def test_message_that_is_asked_for_makes_no_idle_worker(app, client):
    with app.connection_for_read() as connection:
        assert connection.default_channel.basic_get("cv") is None
    assert not client.exists(keys.idle("cv"))


def test_worker_without_a_free_slot_takes_nothing_from_an_added_queue(app, client):
    sent = send(app)
    with consuming(app, at_most=2) as (got, connection):
        look(connection, 30, until=lambda: got)
        look(connection, 0.3)  # it waits
        sent.append(app.send_task("infer.run", args=[{}]).id)
        queue, channel = app.amqp.queues["infer"], connection.default_channel
        with kombu.Consumer(
            channel, [queue], on_message=got.append, accept=["json"], prefetch_count=1
        ):
            look(connection, 0.5)
            assert waiting_ids(client, "infer") == sent[1:]
            got[0].ack()
            look(connection, 30, until=lambda: len(got) > 1)
            assert ids(got) == sent


def test_most_urgent_level_comes_first(app):
    bulk, urgent, normal = (send(app, priority=level)[0] for level in (9, 0, 5))
    with consuming(app, at_most=0) as (got, connection):
        look(connection, until=lambda: len(got) == 3)
    assert ids(got) == [urgent, normal, bulk]


def test_closed_channel_gives_its_jobs_back_to_their_places(app, client):
    sent = send(app, 5)
    with consuming(app, at_most=3) as (got, connection):
        look(connection, until=lambda: len(got) == 3)
    assert client.hlen(keys.reserved(RUN)) == 0
    assert waiting_ids(client) == sent


def test_basic_get_reserves_the_job_like_any_take(app, client):
    first, second = send(app, 2)
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        message = channel.basic_get("cv")
        assert message.headers["id"] == first
        assert client.hgetall(keys.reserved(RUN)) == {
            message.delivery_tag.encode(): b"\ncv\n" + first.encode()
        }
        assert client.hget(keys.job(first), "state") == b"running"
        message.ack()
        assert client.hlen(keys.reserved(RUN)) == 0
        assert channel.basic_get("cv", no_ack=True).headers["id"] == second
        assert client.hlen(keys.reserved(RUN)) == 0
        assert channel.basic_get("cv") is None


def test_basic_get_of_a_worker_that_dies_comes_back(app, client):
    [sent] = send(app)
    with app.connection_for_read() as connection:
        assert connection.default_channel.basic_get("cv") is not None
        assert waiting_ids(client) == []
    assert waiting_ids(client) == [sent]


def test_job_is_delivered_after_redis_has_forgotten_the_scripts(app, client):
    with consuming(app) as (got, connection):
        look(connection, 0.3)
        client.script_flush()
        sent = send(app)
        client.script_flush()
        look(connection, until=lambda: got)
        client.script_flush()
        got[0].ack()
        client.script_flush()
        beat(client, RUN, ["cv"], redis_now(client))
        client.script_flush()
        with app.producer_pool.acquire(block=True) as producer, producer.batch():
            sent += [app.send_task("cv.hsv", args=[{}], producer=producer).id for _ in range(2)]
        look(connection, until=lambda: len(got) == 2)
        got[1].requeue()
        look(connection, until=lambda: len(got) == 3)
    assert ids(got) == [*sent[:2], sent[1]]


@pytest.mark.parametrize("eta", ["2026-13-45T00:00:00", "tomorrow", "99999-01-01T00:00:00"])
def test_unreadable_eta_is_left_to_celery(app, client, settings, eta):
    with celery.Celery(broker=broker_url(settings.redis_url.get_secret_value())) as plain:
        plain.send_task("cv.hsv", [{}], queue="cv", eta=eta)
    with consuming(app) as (got, connection):
        look(connection, until=lambda: got)
        # Its worker refuses the message, as Celery does.
        assert got[0].headers["eta"] == eta


@pytest.mark.parametrize("raw", ["", "null", "5", "[]", "{}", b"\xff\xfe", '{"properties": 3}'])
def test_malformed_message_becomes_a_dead_letter(app, client, raw):
    client.lpush("cv", raw)
    [behind] = send(app)
    with consuming(app, at_most=0) as (got, connection):
        look(connection, until=lambda: got)
        assert ids(got) == [behind]
        assert give_up_refused_messages(app, client, MAX_MESSAGE_BYTES) == 1
        [letter] = DeadLetters(client).latest()
        assert letter.raw == (raw if isinstance(raw, bytes) else raw.encode())
        assert letter.queue == "cv"
        assert client.hlen(keys.reserved(RUN)) == 1
        assert client.hget(keys.COUNTS, "refused") == b"1"


def test_worker_lives_and_works_on_a_full_redis(app, client):
    sent = send(app, 2)
    with consuming(app) as (got, connection):
        client.config_set("maxmemory", 1)
        try:
            with pytest.raises(redis.exceptions.OutOfMemoryError):
                client.set("somebody", "else's")
            beat(client, RUN, ["cv"], redis_now(client))
            look(connection, until=lambda: got)
            got[0].ack()
            look(connection, until=lambda: len(got) > 1)
            assert ids(got) == sent
            assert client.hlen(keys.reserved(RUN)) == 1
            assert 0 < client.ttl(keys.worker_alive(RUN)) <= DEAD_AFTER_S
            assert client.sismember(keys.WORKER_IDS, RUN)
        finally:
            client.config_set("maxmemory", 0)


@pytest.mark.alone
def test_worker_that_has_consumed_a_reply_queue_takes_from_its_own_at_once(app, client):
    [sent] = send(app)
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        with kombu.Consumer(channel, [kombu.Queue("replies", "replies", "replies")]):
            look(connection, 0.2)
        got = []
        with kombu.Consumer(channel, [app.amqp.queues["cv"]], on_message=got.append):
            began = time.monotonic()
            look(connection, 10, until=lambda: got)
            assert ids(got) == [sent]
            # Far sooner than the look that it takes by itself every five seconds.
            assert time.monotonic() - began < 2
