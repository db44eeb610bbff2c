"""Ending jobs and letting go of them: with the next take, at once, or over the next connection."""

import signal
import threading
import time
from collections import Counter
from contextlib import suppress

import kombu
import pytest
from prometheus_client import CollectorRegistry

from agewell.shared.metrics import Metric, counter
from agewell.shared.queue.ledger import End
from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from agewell.workers.consuming.pending_ends import pending_ends
from agewell.workers.maintenance.rescue import rescue_jobs
from agewell.workers.monitoring.exporter import Collector
from tests.support.consuming import (
    RUN,
    consuming,
    ids,
    look,
    send,
    waiting_ids,
    worker_app,
)


@pytest.fixture
def app(settings, client):
    yield worker_app(settings)
    pending_ends.clear()


def commands_of(client):
    """How often Redis has run each command, inside scripts as well."""
    return Counter({name: each["calls"] for name, each in client.info("commandstats").items()})


def take_all(client, connection, got, sent, let_go):
    """Take one job after the other, and let go of each: the commands that Redis has run for it."""
    look(connection, until=lambda: got)
    before = commands_of(client)
    for count in range(2, len(sent) + 1):
        let_go(got[-1])
        look(connection, until=lambda count=count: len(got) == count)
    return commands_of(client) - before


def test_take_acknowledges_the_job_before(app, client):
    sent = send(app, 20)
    with consuming(app) as (got, connection):
        done = take_all(client, connection, got, sent, lambda message: message.ack())
    assert ids(got) == sent
    assert done["cmdstat_evalsha"] == done["cmdstat_zpopmin"] == 19


def finish(app, message):
    """As a worker whose pool process has done a job."""
    document = app.backend.result_of(message.headers["id"], {"items": []}, "SUCCESS")
    end = End(message.headers["id"], State.DONE, op="hsv", items=1)
    pending_ends[end.job_id] = app.backend.ledger.end_arguments(
        end, document, [("WAIT|hsv|5|sum", 7)]
    )
    message.ack()


def states_of(app, job_ids):
    return app.backend.ledger.states(job_ids)


def test_take_ends_the_job_before(app, client):
    sent = send(app, 20)
    with consuming(app) as (got, connection):
        done = take_all(client, connection, got, sent, lambda message: finish(app, message))
        assert states_of(app, sent) == [State.DONE] * 19 + [State.RUNNING]
    assert ids(got) == sent
    assert done["cmdstat_evalsha"] == done["cmdstat_zpopmin"] == 19
    assert app.AsyncResult(sent[0]).get(timeout=5) == {"items": []}
    assert int(client.hget(keys.METRICS, "WAIT|hsv|5|sum")) == 19 * 7
    assert int(client.hget(keys.METRICS, counter(Metric.ENDED, "done"))) == 19
    assert pending_ends == {}


def test_job_that_ends_while_the_worker_is_idle_ends_at_once(app, client):
    sent = send(app, 1)
    with consuming(app, at_most=2) as (got, connection):
        look(connection, 0.5)
        finish(app, got[0])
        assert states_of(app, sent) == [State.DONE]
        assert client.hlen(keys.reserved(RUN)) == 0


def test_job_that_ends_without_a_take_to_come_ends_at_once(app, client):
    sent = send(app, 2)
    with consuming(app, at_most=2) as (got, connection):
        look(connection, until=lambda: len(got) == 2)
        finish(app, got[0])  # the next take would say so, but the worker is told to stop
        for consumer in list(connection.default_channel._consumers):
            connection.default_channel.basic_cancel(consumer)
        assert states_of(app, sent) == [State.DONE, State.RUNNING]
        finish(app, got[1])
        assert states_of(app, sent) == [State.DONE, State.DONE]


@pytest.mark.parametrize("is_asked", [False, True], ids=["before the take", "during the take"])
def test_job_that_ends_when_the_connection_is_lost_is_not_run_again(
    app, client, settings, is_asked
):
    sent = send(app, 2)
    with consuming(app) as (got, connection):
        look(connection, until=lambda: got)
        channel = connection.default_channel
        client.client_kill_filter(_type="normal", skipme=True)
        finish(app, got[0])
        if is_asked:
            with suppress(*connection.connection_errors):
                channel._take()
                channel._brpop_read()
        channel.connection.client = None  # kombu drops a connection that it has lost
        channel.close()
    assert states_of(app, sent[:1]) == [State.RUNNING]
    with consuming(app) as (got, connection):  # as Celery does, it connects anew
        look(connection, until=lambda: got)
        assert ids(got) == sent[1:]
    assert states_of(app, sent[:1]) == [State.DONE]
    rescue_jobs(client, settings)
    assert waiting_ids(client) == sent[1:]


def test_damaged_records_hold_up_no_other_job(app, client):
    sent = send(app, 4)
    with consuming(app) as (got, connection):
        look(connection, until=lambda: got)
        for job_id in sent[:3]:
            client.set(keys.job(job_id), "not a record")
        finish(app, got[0])
        look(connection, until=lambda: len(got) == 2)
    assert ids(got) == [sent[0], sent[3]]
    # The first cannot be ended nor let go of, the others cannot be taken.
    assert client.hget(keys.COUNTS, "damaged_records") == b"4"


def test_damaged_record_is_counted_for_prometheus(app, client, settings):
    sent = send(app, 2)
    client.set(keys.job(sent[0]), "not a record")
    with consuming(app) as (got, connection):
        look(connection, until=lambda: got)
    assert ids(got) == sent[1:]
    registry = CollectorRegistry()
    registry.register(Collector(client, settings))
    assert registry.get_sample_value("agewell_rare_events_total", {"what": "damaged_records"}) == 1


def test_job_that_has_ended_meanwhile_does_not_end_twice(app, client):
    sent = send(app, 2)
    with consuming(app) as (got, connection):
        look(connection, until=lambda: got)
        app.backend.ledger.end(End(sent[0], State.FAILED, error="out of memory"))
        finish(app, got[0])
        look(connection, until=lambda: len(got) == 2)
    assert states_of(app, sent[:1]) == [State.FAILED]
    assert client.zcard(keys.jobs(State.DONE)) == 0


def test_job_that_ends_in_a_thread_is_acknowledged_at_once(app, client):
    send(app, 2)
    with consuming(app, at_most=0) as (got, connection):
        look(connection, until=lambda: len(got) == 2)
        thread = threading.Thread(target=got[0].ack)
        thread.start()
        thread.join()
        assert client.hkeys(keys.reserved(RUN)) == [got[1].delivery_tag.encode()]


def test_job_that_ends_without_a_take_to_come_is_acknowledged_at_once(app, client):
    send(app, 3)
    with app.connection_for_read() as connection:
        queue, got = app.amqp.queues["cv"], []
        consumer = kombu.Consumer(
            connection.default_channel, [queue], on_message=got.append, prefetch_count=3
        )
        consumer.consume()
        look(connection, until=lambda: len(got) == 3)
        got[0].ack()  # the next take would say so, but the worker is told to stop
        consumer.cancel()
        assert client.hlen(keys.reserved(RUN)) == 2
        got[1].ack()
        assert client.hlen(keys.reserved(RUN)) == 1


def test_job_whose_connection_is_lost_comes_back_as_a_dead_workers_does(
    app, client, settings, monkeypatch
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
    rescue_jobs(client, settings)
    # The one that was acknowledged over the connection is not among them.
    assert waiting_ids(client) == sent[1:]


def test_channel_closes_without_its_connection(app, client):
    send(app, 2)
    with consuming(app, at_most=2) as (got, connection):
        look(connection, until=lambda: len(got) == 2)
        channel = connection.default_channel
        got[0].ack()
        channel.connection.client = None  # what kombu does to one whose connection it has lost
        channel.close()
        assert channel.closed
    assert client.hlen(keys.reserved(RUN)) == 2


def test_channel_closes_while_redis_is_away(app, redis_server, client):
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


def test_lost_acknowledgement_is_sent_again(app, client):
    send(app)
    with consuming(app) as (got, connection):
        look(connection, until=lambda: got)
        channel = connection.default_channel
        # Redis is away between the job's end and the take.
        client.client_kill_filter(_type="normal", skipme=True)
        got[0].ack()
        with suppress(*connection.connection_errors):
            channel._take()
            channel._brpop_read()
        assert client.hlen(keys.reserved(RUN)) == 1
        look(connection, 30, until=lambda: not client.hlen(keys.reserved(RUN)))
        assert client.hlen(keys.reserved(RUN)) == 0


def test_job_of_a_lost_answer_is_given_back_at_once(app, client):
    with consuming(app, at_most=0) as (got, connection):
        look(connection, 0.3)
        channel = connection.default_channel
        # Redis takes a message for this connection, and the connection is gone before it hears.
        sent = send(app, 2)
        channel._take()
        deadline = time.monotonic() + 10
        while not client.hlen(keys.reserved(RUN)) and time.monotonic() < deadline:
            time.sleep(0.01)
        channel.client.connection.disconnect()
        look(connection, 30, until=lambda: len(got) == 2)
        assert ids(got) == sent


def test_message_that_nobody_acknowledges_is_not_kept(app, client):
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


@pytest.mark.parametrize("most", [1, 2])
def test_job_is_given_up_after_as_many_lost_processes_as_the_settings_say(settings, client, most):
    app = worker_app(settings.model_copy(update={"max_deliveries": most}))
    [job_id] = send(app)
    with consuming(app) as (got, connection):
        for lost in range(1, most + 1):
            look(connection, until=lambda lost=lost: len(got) == lost)
            assert client.smembers(keys.GIVEN_UP) == set()
            got[-1].requeue()
    assert client.smembers(keys.GIVEN_UP) == {job_id.encode()}
