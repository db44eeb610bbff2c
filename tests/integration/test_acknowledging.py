"""Letting go of messages: with the next question, at once, or never if the connection is lost."""

import json
import signal
import threading
import time
from collections import Counter
from contextlib import suppress

import kombu
import pytest
from workers.liveness import return_jobs_of_dead_workers

from shared import keys
from tests.integration.consuming import RUN, consuming, ids, look, send, worker_app


@pytest.fixture
def app(settings, client):
    return worker_app(settings)


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
        assert client.hkeys(keys.reserved(RUN)) == [got[1].delivery_tag.encode()]


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
        assert client.hlen(keys.reserved(RUN)) == 2
        got[1].ack()
        assert client.hlen(keys.reserved(RUN)) == 1


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
    client.sadd(keys.WORKER_IDS, RUN)
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
    assert client.hlen(keys.reserved(RUN)) == 2


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
        assert client.hlen(keys.reserved(RUN)) == 1
        look(connection, 30, until=lambda: not client.hlen(keys.reserved(RUN)))
        assert client.hlen(keys.reserved(RUN)) == 0


def test_an_answer_that_is_lost_with_its_connection_is_given_back(app, client):
    with consuming(app, at_most=0) as (got, connection):
        look(connection, 0.3)
        channel = connection.default_channel
        # Redis takes a message for this connection, and the connection is gone before it hears.
        sent = send(app, 2)
        channel._ask()
        deadline = time.monotonic() + 10
        while not client.hlen(keys.reserved(RUN)) and time.monotonic() < deadline:
            time.sleep(0.01)
        channel.client.connection.disconnect()
        look(connection, 30, until=lambda: len(got) == 2)
        assert ids(got) == sent


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
    assert client.hlen(keys.reserved(RUN)) == 0
