"""Messages that are asked for one by one, other programs' queues, and kombu's key prefix."""

import kombu
import pytest

from agewell.shared.protocol.levels import LEVELS
from agewell.shared.redis import keys
from agewell.shared.redis.scripts import load_all
from tests.support.consuming import RUN, consuming, send, worker_app

PREFIX = "theirs:"


@pytest.fixture
def app(settings, client):
    with worker_app(settings) as made:
        yield made


@pytest.fixture
def channel(app):
    with app.connection_for_read() as connection:
        yield connection.default_channel


@pytest.fixture
def prefixed(settings, client):
    """A worker's app whose kombu puts a prefix before its keys."""
    with worker_app(settings) as made:
        made.conf.broker_transport_options["global_keyprefix"] = PREFIX
        yield made


def declare(channel, name="other"):
    """A queue of another program's."""
    return kombu.Queue(name, durable=False)(channel)


def publish(channel, body, **options):
    declare(channel).declare()
    kombu.Producer(channel).publish(body, routing_key="other", serializer="json", **options)


def test_job_that_basic_get_takes_is_reserved(app, channel, client):
    [job_id] = send(app)
    message = channel.basic_get("cv")
    assert message.headers["id"] == job_id
    assert client.hvals(keys.reserved(RUN)) == [b"\ncv\n" + job_id.encode()]
    assert client.hget(keys.job(job_id), "state") == b"running"
    message.ack()
    channel.qos.acknowledge_ended()
    assert not client.exists(keys.reserved(RUN))


def test_job_that_basic_get_took_returns_when_the_channel_closes(app, client):
    [job_id] = send(app)
    with app.connection_for_read() as connection:
        assert connection.default_channel.basic_get("cv").headers["id"] == job_id
    assert client.zcard(keys.order("cv")) == 1
    assert client.hget(keys.job(job_id), "state") == b"waiting"
    assert not client.exists(keys.reserved(RUN))


def test_empty_queue_gives_nothing(channel, client):
    assert channel.basic_get("cv") is None
    assert channel.basic_get("other") is None
    assert not client.exists(keys.reserved(RUN))


def test_message_that_nobody_acknowledges_is_not_kept(channel, client):
    publish(channel, "hello")
    assert channel.basic_get("other", no_ack=True).payload == "hello"
    assert not client.exists(keys.reserved(RUN))


@pytest.mark.parametrize("level", LEVELS)
def test_requeued_message_returns_to_the_list_it_came_from(channel, client, level):
    publish(channel, "first", priority=level)
    [list_] = client.keys("other*")
    publish(channel, "second", priority=level)
    channel.basic_get("other").requeue()
    assert client.keys("other*") == [list_]
    assert client.llen(list_) == 2
    assert [channel.basic_get("other").payload for _ in range(2)] == ["first", "second"]


def test_expiry_of_a_queue_begins_again_with_each_message_taken(channel, client):
    queue = kombu.Queue("other", expires=60)(channel)
    queue.declare()
    for body in range(2):
        kombu.Producer(channel).publish(body, routing_key="other", serializer="json")
    client.pexpire("other", 1000)
    queue.get()
    assert client.pttl("other") > 1000


def test_consumer_cancelled_during_a_take_waits_for_nothing(app, client):
    load_all(client)
    with consuming(app) as (_, connection):
        channel, cycle = connection.default_channel, connection.transport.cycle
        cycle.on_poll_start()
        assert channel._in_poll
        for tag in list(channel._consumers):
            channel.basic_cancel(tag)
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.5)
        assert not channel._in_poll


def test_prefix_changes_no_key_of_ours(prefixed, client):
    [job_id] = send(prefixed)
    assert client.exists(keys.job(job_id), keys.order("cv")) == 2
    with prefixed.connection_for_read() as connection:
        message = connection.default_channel.basic_get("cv")
        assert message.headers["id"] == job_id
        assert client.hvals(keys.reserved(RUN)) == [b"\ncv\n" + job_id.encode()]
        message.requeue()
        assert client.zcard(keys.order("cv")) == 1
        connection.default_channel.basic_get("cv").ack()
    assert not client.exists(keys.reserved(RUN))
    assert not client.keys(f"{PREFIX}{keys.PREFIX}*")


def test_prefix_changes_no_key_of_a_batch(prefixed, client):
    with prefixed.connection_for_write() as connection:
        producer = prefixed.amqp.Producer(connection, auto_declare=False)
        with producer.batch():
            [job_id] = send(prefixed, producer=producer)
    assert client.exists(keys.job(job_id), keys.order("cv")) == 2
    assert not client.keys(f"{PREFIX}{keys.PREFIX}*")


def test_other_programs_lists_have_the_prefix(prefixed, client):
    with prefixed.connection_for_read() as connection:
        channel = connection.default_channel
        publish(channel, "hello")
        assert client.llen(f"{PREFIX}other") == 1
        channel.basic_get("other").requeue()
        assert client.llen(f"{PREFIX}other") == 1
        assert channel.basic_get("other").payload == "hello"
