"""Taking messages: noted in the same step, given back in order, and never waited for in vain."""

import json
import time

import kombu
import pytest
import redis
from workers.liveness import DEAD_AFTER_S, beat

from shared import keys
from shared.queue.dead_letters import DeadLetters
from tests.integration.consuming import RUN, consuming, ids, look, send, worker_app


@pytest.fixture
def app(settings, client):
    return worker_app(settings)


def test_a_taken_message_is_noted_with_the_run_that_has_it(app, client):
    sent = send(app, 3)
    with consuming(app) as (got, connection):
        look(connection, until=lambda: got)
        assert ids(got) == sent[:1]
        assert client.llen(keys.waiting_list("cv", 5)) == 2
        [(tag, entry)] = client.hgetall(keys.reserved(RUN)).items()
        assert tag.decode() == got[0].delivery_tag
        waiting, _, raw = entry.partition(b"\n")
        assert waiting.decode() == keys.waiting_list("cv", 5)
        assert json.loads(raw)["headers"]["id"] == sent[0]
        got[0].ack()
        look(connection, until=lambda: len(got) == 2)
        assert client.hkeys(keys.reserved(RUN)) == [got[1].delivery_tag.encode()]


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
    assert client.hlen(keys.reserved(RUN)) == 0
    waiting = client.lrange(keys.waiting_list("cv", 5), 0, -1)[::-1]
    assert [json.loads(raw)["headers"]["id"] for raw in waiting] == sent


@pytest.mark.parametrize("raw", ["", "null", "5", "[]", "{}", b"\xff\xfe", '{"properties": 3}'])
def test_what_is_no_message_goes_to_the_dead_letters(app, client, raw):
    client.lpush("cv", raw)
    [behind] = send(app)
    with consuming(app, at_most=0) as (got, connection):
        look(connection, until=lambda: got)
        assert ids(got) == [behind]
        [letter] = DeadLetters(client).latest()
        assert letter.raw == (raw if isinstance(raw, bytes) else raw.encode())
        assert letter.queue == "cv"
        assert client.hlen(keys.reserved(RUN)) == 1
        assert client.hget(keys.COUNTS, "refused") == b"1"


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
            assert client.hlen(keys.reserved(RUN)) == 1
            assert 0 < client.ttl(keys.worker_alive(RUN)) <= DEAD_AFTER_S
            assert client.sismember(keys.WORKER_IDS, RUN)
        finally:
            client.config_set("maxmemory", 0)
