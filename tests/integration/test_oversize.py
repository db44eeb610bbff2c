"""Messages that are too large: refused where they are sent, read by nobody where they wait."""

import base64
import hashlib
import json
import tracemalloc
import zlib

import kombu.compression
import pytest
from celery import chain
from workers.keeping import keep_blobs_of_waiting_jobs
from workers.lost import end_lost_jobs
from workers.sweep import sweep

from producer.client import Client
from producer.session import make_session
from shared import keys
from shared.aging import AgingPolicy
from shared.errors import MessageTooLargeError
from shared.messages import HsvItem, HsvJob, ImageRef, PoissonBlendItem, PoissonBlendJob
from shared.queue.dead_letters import DeadLetters
from shared.queue.record import State
from shared.queue.status import queue_status
from shared.stamp import redis_now
from tests.e2e.messages import good_job
from tests.fuzz.messages import envelope
from tests.integration.consuming import consuming, look, worker_app
from tests.integration.delivering import AWAY, deliver, hsv
from workers.dashboard.message import find_waiting

LARGE = 6 * 2**20
SMALL = 2**20


def inline(number):
    data = bytes([number % 256]) * (32 * 1024)
    uri = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    sha256 = hashlib.sha256(data).hexdigest()
    return ImageRef(uri=uri, sha256=sha256, size_bytes=len(data), media_type="image/png")


FULL = HsvJob(items=tuple(HsvItem(image=inline(number)) for number in range(64)))
TOO_LARGE = PoissonBlendJob(
    items=(PoissonBlendItem(source=inline(0), mask=inline(1), destination=inline(2)),) * 64
)


def large(job_id="large", first=(), **headers):
    """A message as a plain client's, but for its size; some fields of it may come first."""
    message = envelope({}, job_id)
    message["headers"] |= headers
    message["body"] = "A" * LARGE
    return json.dumps({name: message[name] for name in first} | message).encode()


@pytest.fixture
def agewell(settings, client):
    with Client(make_session(settings)) as opened:
        yield opened


@pytest.fixture
def little_read(client):
    """What happens in the test has Redis send little."""
    before = client.info("stats")["total_net_output_bytes"]
    yield
    assert client.info("stats")["total_net_output_bytes"] - before < SMALL


def test_a_job_of_64_inline_images_is_sent(agewell):
    assert agewell.status(agewell.send(FULL)).state is State.WAITING


def test_a_larger_job_is_refused_with_all_that_is_sent_with_it(agewell, client):
    with pytest.raises(
        MessageTooLargeError, match=r"AGEWELL_MAX_MESSAGE_BYTES is 4,194,304.*fewer images"
    ) as caught:
        agewell.send_many([FULL, TOO_LARGE])
    assert caught.value.size_bytes > 64 * 3 * 32 * 1024
    assert agewell.session.ledger.counts()[State.WAITING] == 0
    assert client.keys("cv*") == []


def test_the_limit_is_a_setting(settings, client):
    small = settings.model_copy(update={"max_message_bytes": 1000})
    job = HsvJob(items=FULL.items[:1])
    with Client(make_session(small)) as agewell, pytest.raises(MessageTooLargeError, match="1,000"):
        agewell.send(job)


def test_celerys_own_calls_are_refused_too(agewell, client):
    with pytest.raises(MessageTooLargeError):
        agewell.session.app.send_task("cv.hsv", args=["A" * LARGE], queue="cv")
    assert client.keys("cv*") == []


@pytest.mark.usefixtures("little_read")
@pytest.mark.parametrize("first", [(), ("headers", "properties")])
def test_a_worker_is_given_a_small_message_in_its_place(settings, client, first):
    client.lpush("cv", large(first=first))
    with consuming(worker_app(settings)) as (got, connection):
        look(connection, until=lambda: got)
        [message] = got
        assert (message.headers["id"], message.headers["task"]) == ("large", "cv.hsv")
        assert message.headers["too_large_bytes"] > LARGE
        assert json.loads(message.body) == [[None], {}, {}]
        [entry] = client.hvals(keys.reserved("cv@here:1"))
        assert len(entry) < SMALL


@pytest.mark.usefixtures("little_read")
def test_it_comes_back_small_if_its_worker_dies(settings, client):
    client.lpush("cv", large())
    for _ in range(2):
        with consuming(worker_app(settings)) as (got, connection):
            look(connection, until=lambda got=got: got)
            assert got[0].headers["id"] == "large"
        # Closing the channel has given it back.
    assert client.llen("cv") == 1
    assert client.memory_usage("cv") < SMALL


@pytest.mark.usefixtures("little_read")
def test_one_that_names_no_job_becomes_a_dead_letter(settings, client):
    client.lpush("cv", b"A" * LARGE)
    with consuming(worker_app(settings)) as (_, connection):
        look(connection, until=lambda: DeadLetters(client).count())
    [letter] = DeadLetters(client).latest()
    assert f"{LARGE:,} bytes" in letter.reason
    assert b"AAAA" in letter.raw


def test_its_job_ends_as_dead_and_only_its_first_bytes_are_kept(app, tools, client):
    stand_in = envelope({}, "large")
    stand_in["headers"] |= {"too_large_bytes": LARGE, "too_large_head": '{"body": "AAAA'}
    client.lpush("cv", json.dumps(stand_in))
    deliver(app)
    assert tools.ledger.get("large").state is State.DEAD
    assert (
        f"{LARGE:,} bytes; AGEWELL_MAX_MESSAGE_BYTES is 4,194,304"
        in app.backend.get_result("large").reason
    )
    letter = DeadLetters(client).get("large")
    assert (letter.task, letter.args, letter.raw) == ("cv.hsv", None, b'{"body": "AAAA')


@pytest.mark.usefixtures("little_read")
def test_whoever_looks_at_waiting_messages_reads_none_that_is_large(app, settings, client, tools):
    for level in (0, 3):
        for job_id in ("first", "second"):
            client.lpush(keys.waiting_list("cv", level), large(f"{job_id}-{level}"))
    client.hset(keys.job("first-3"), "state", "waiting")
    client.zadd(keys.jobs("waiting"), {"first-3": 1})
    queue_status(client, settings, redis_now(client))
    for _ in range(3):
        assert end_lost_jobs(app, client, tools.ledger) == 0
        client.delete(keys.LISTS_WALKED)
    keep_blobs_of_waiting_jobs(client, tools.blobs, 1, redis_now(client))
    find_waiting(client, "second-3")


@pytest.mark.usefixtures("little_read")
def test_a_sweep_leaves_small_messages_in_the_place_of_large_ones(client, unhurried):
    def small(job_id, at):
        message = envelope({}, job_id)
        message["headers"]["enqueued_at"] = at
        return json.dumps(message)

    now = redis_now(client)
    waiting = keys.waiting_list("cv", 5)
    client.lpush(waiting, small("before", now - 2), large(enqueued_at=now - 1), small("after", now))
    sweep(client, "cv", AgingPolicy(0.001), now)
    assert client.memory_usage(waiting) < SMALL
    found = [json.loads(raw)["headers"].get("id") for raw in client.lrange(waiting, 0, -1)]
    assert found == ["after", None, "before"]


def within(app, max_bytes):
    """From now on the app publishes over new connections, with a limit."""
    options = app.conf.broker_transport_options
    app.conf.broker_transport_options = options | {"max_message_bytes": max_bytes}
    app._pool = app.amqp._producer_pool = None


def test_a_chain_whose_next_step_would_be_too_large_fails_in_words(app, tools, client):
    last = chain(hsv(app, good_job()), hsv(app, {"op": "hsv"})).apply_async()
    within(app, 900)
    deliver(app)
    for step in (last.parent, last):
        entry = tools.ledger.get(step.id)
        assert entry.state is State.FAILED
        assert "bytes; AGEWELL_MAX_MESSAGE_BYTES is 900." in entry.error
    assert client.keys("cv*") == []


def test_a_retry_that_would_be_too_large_fails_in_words(app, tools, client, trouble):
    trouble.append(AWAY)
    job_id = hsv(app, good_job()).apply_async().id
    within(app, 900)
    deliver(app)
    assert tools.ledger.get(job_id).state is State.FAILED
    assert "AGEWELL_MAX_MESSAGE_BYTES is 900." in tools.ledger.get(job_id).error
    assert client.keys("cv*") == []


BOMB = json.dumps([["A" * 24 * 2**20], {}, {}]).encode()
SMALL_BODY = json.dumps([[good_job()], {}, {}]).encode()


@pytest.mark.parametrize("kind", ["zlib", "bzip2", "lzma"])
def test_a_compressed_message_is_unpacked_no_further_than_one_may_be(settings, client, kind):
    app = worker_app(settings)
    for job_id, body in (("bomb", BOMB), ("small", SMALL_BODY)):
        message = envelope({}, job_id)
        packed, message["headers"]["compression"] = kombu.compression.compress(body, kind)
        message["body"] = base64.b64encode(packed).decode()
        client.lpush("cv", json.dumps(message))
    with consuming(app, at_most=2) as (got, connection):
        tracemalloc.start()
        look(connection, until=lambda: len(got) == 2)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        bodies = {each.headers["id"]: json.loads(each.body) for each in got}
    assert bodies == {"bomb": [[None], {}, {}], "small": json.loads(SMALL_BODY)}
    assert peak < 16 * 2**20


@pytest.mark.parametrize(
    ("kind", "body"),
    [("rar", b"x"), ("zlib", b"x"), ("zlib", zlib.compress(b"x" * 99)[:-3]), (5, b"")],
)
def test_what_cannot_be_unpacked_becomes_a_dead_letter(settings, client, kind, body):
    message = envelope({}, "broken")
    message["headers"]["compression"] = kind
    message["body"] = base64.b64encode(body).decode()
    client.lpush("cv", json.dumps(message))
    with consuming(worker_app(settings)) as (got, connection):
        look(connection, until=lambda: DeadLetters(client).count())
    [letter] = DeadLetters(client).latest()
    assert "compressed" in letter.reason
    assert not got


def test_the_job_of_a_message_that_unpacks_to_too_much_says_so(app, tools, client):
    message = envelope({}, "bomb")
    message["headers"]["too_large_bytes"] = 4 * 2**20 + 1
    client.lpush("cv", json.dumps(message))
    deliver(app)
    assert "unpacks to more than 4,194,304 bytes" in tools.ledger.get("bomb").error
