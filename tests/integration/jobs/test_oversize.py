"""Messages that are too large: refused when they are sent, and read by nobody while they wait."""

import base64
import hashlib
import json
import tracemalloc
import zlib

import kombu.compression
import pytest
from celery import chain

from agewell.producer.client import Client
from agewell.producer.session import make_session
from agewell.shared.errors import MessageTooLargeError
from agewell.shared.protocol.built_in_jobs import HsvItem, HsvJob, PoissonBlendItem, PoissonBlendJob
from agewell.shared.protocol.messages import ImageRef
from agewell.shared.queue.dead_letters import DeadLetters
from agewell.shared.queue.record import State
from agewell.shared.queue.status import queue_status
from agewell.shared.redis import keys
from agewell.shared.redis.clock import redis_now
from agewell.workers.maintenance.aging import reprioritise
from agewell.workers.maintenance.give_up import give_up_refused_messages
from agewell.workers.maintenance.keep_blobs import keep_blobs_of_waiting_jobs
from agewell.workers.maintenance.orphans import find_orphans
from tests.support.consuming import (
    consuming,
    look,
    scheduled_ids,
    waiting_ids,
    worker_app,
)
from tests.support.delivering import AWAY, deliver, hsv
from tests.support.envelopes import envelope
from tests.support.messages import good_job

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
    """A message as a plain client's, but for its size. Some of its fields may come first."""
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
    """Hold the bytes that Redis sends during the test to a bound."""
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
    assert waiting_ids(client) == []


def test_the_limit_is_a_setting(settings, client):
    small = settings.model_copy(update={"max_message_bytes": 1000})
    job = HsvJob(items=FULL.items[:1])
    with Client(make_session(small)) as agewell, pytest.raises(MessageTooLargeError, match="1,000"):
        agewell.send(job)


def test_celerys_own_calls_are_refused_too(agewell, client):
    with pytest.raises(MessageTooLargeError):
        agewell.session.app.send_task("cv.hsv", args=["A" * LARGE], queue="cv")
    assert waiting_ids(client) == []


@pytest.fixture
def refuse(app, client, tools):
    """Let upkeep look at refused messages. Returns their number."""

    def once():
        return give_up_refused_messages(app, client, tools.settings.max_message_bytes)

    return once


def admit_all(client, settings):
    while client.llen("cv"):
        reprioritise(client, settings, redis_now(client))


@pytest.mark.usefixtures("little_read")
@pytest.mark.parametrize("first", [(), ("headers", "properties")])
@pytest.mark.parametrize("taken_first", [True, False])
def test_a_plain_clients_large_message_becomes_a_dead_letter_at_the_inlet(
    app, settings, client, tools, refuse, first, taken_first
):
    """Whichever comes first, a worker's take or the beat task: no worker is given it."""
    client.lpush("cv", large(first=first))
    if taken_first:
        with consuming(worker_app(settings)) as (got, connection):
            look(connection, until=lambda: client.exists(keys.REFUSED))
            assert not got
            assert not client.exists(keys.reserved("cv@here:1"))
    else:
        reprioritise(client, settings, redis_now(client))
    assert client.llen("cv") == 0
    assert refuse() == 1
    assert tools.ledger.get("large").state is State.DEAD
    assert (tools.ledger.get("large").op, waiting_ids(client)) == ("hsv", [])
    reason = app.backend.get_result("large").reason
    assert f"{len(large()):,} bytes; AGEWELL_MAX_MESSAGE_BYTES is 4,194,304" in reason
    letter = DeadLetters(client).get("large")
    assert (letter.task, letter.args, letter.level, letter.queue) == ("cv.hsv", None, 5, "cv")
    assert letter.raw == large(first=first)[:1024]
    assert letter.size_bytes == len(large())
    assert refuse() == 0


@pytest.mark.usefixtures("little_read")
@pytest.mark.parametrize(
    ("raw", "named"),
    [
        (b"A" * LARGE, {}),
        (large("theirs").replace(b"cv.hsv", b"their.task"), {}),
        (large(chr(27) + "[31m"), {}),
        (large("\ud800"), {}),
    ],
    ids=["no message", "another task's", "a control character", "half a character"],
)
def test_one_that_names_no_job_of_ours_becomes_a_dead_letter_too(
    client, settings, refuse, raw, named
):
    client.lpush("cv", raw)
    client.lpush("cv", large())
    admit_all(client, settings)
    assert refuse() == 2
    last, first = sorted(DeadLetters(client).latest(), key=lambda each: each.is_job, reverse=True)
    assert last.letter_id == "large"
    assert (first.reason, first.size_bytes, first.named) == ("too large", len(raw), named)
    assert first.raw == raw[: 64 * 1024]


def test_headers_that_are_too_large_are_refused(client, settings, refuse):
    client.lpush("cv", large(pad="A" * 200_000).replace(b"A" * LARGE, b"A"))
    reprioritise(client, settings, redis_now(client))
    assert refuse() == 1
    assert DeadLetters(client).latest()[0].reason == "headers too large"


def test_a_large_message_is_refused_while_redis_is_full(client, settings, refuse, tools):
    client.lpush("cv", large())
    client.config_set("maxmemory", 2**20)
    try:
        reprioritise(client, settings, redis_now(client))
        assert refuse() == 1
    finally:
        client.config_set("maxmemory", 0)
    assert tools.ledger.state("large") is State.DEAD
    assert DeadLetters(client).count() == 1


def test_a_large_message_does_not_end_a_job_of_its_id_that_runs(app, client, tools, refuse):
    job_id = app.send_task("cv.hsv", args=[good_job()], queue="cv").id
    with consuming(worker_app(tools.settings)) as (got, connection):
        look(connection, until=lambda: got)
        client.lpush("cv", large(job_id))
        reprioritise(client, tools.settings, redis_now(client))
        assert refuse() == 1
        assert tools.ledger.state(job_id) is State.RUNNING


@pytest.mark.usefixtures("little_read")
def test_looking_at_waiting_jobs_reads_no_large_message(app, settings, client, tools):
    """A limit that was lowered leaves large messages in records."""
    for number in range(4):
        job_id = app.send_task("cv.hsv", args=[{}], headers={"enqueued_at": 1.0}).id
        client.hset(keys.job(job_id), "message", large(f"{number}"))
    now = redis_now(client)
    queue_status(client, settings, now)
    find_orphans(app, client, settings, now)
    keep_blobs_of_waiting_jobs(client, tools.blobs, 1, now)
    reprioritise(client, settings, now)
    tools.ledger.get_all(waiting_ids(client))


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
    assert waiting_ids(client) == []


def test_a_retry_that_would_be_too_large_fails_in_words(app, tools, client, trouble):
    trouble.append(AWAY)
    job_id = hsv(app, good_job()).apply_async().id
    within(app, 900)
    deliver(app)
    assert tools.ledger.get(job_id).state is State.FAILED
    assert "AGEWELL_MAX_MESSAGE_BYTES is 900." in tools.ledger.get(job_id).error
    assert waiting_ids(client) + scheduled_ids(client) == []


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
def test_message_that_cannot_be_unpacked_becomes_a_dead_letter(settings, client, tools, kind, body):
    message = envelope({}, "broken")
    message["headers"]["compression"] = kind
    message["body"] = base64.b64encode(body).decode()
    client.lpush("cv", json.dumps(message))
    with consuming(worker_app(settings)) as (got, connection):
        look(connection, until=lambda: DeadLetters(client).count())
    [letter] = DeadLetters(client).latest()
    assert "compressed" in letter.reason
    assert not got
    assert tools.ledger.state("broken") is State.DEAD


def test_job_whose_message_unpacks_to_too_much_has_that_error(app, tools, client):
    message = envelope({}, "bomb")
    packed, message["headers"]["compression"] = kombu.compression.compress(BOMB, "zlib")
    message["body"] = base64.b64encode(packed).decode()
    client.lpush("cv", json.dumps(message))
    deliver(app)
    assert "unpacks to more than 4,194,304 bytes" in tools.ledger.get("bomb").error
    assert DeadLetters(client).get("bomb").task == "cv.hsv"
