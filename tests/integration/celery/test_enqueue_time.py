"""The time that messages carry, as a real worker and a real Redis see it."""

import json
import time

import pytest
from celery import Celery, chain
from celery.contrib.testing.worker import start_worker

from agewell.shared.celery.app import broker_url
from agewell.shared.protocol.envelope import ENQUEUED_AT as HEADER
from agewell.shared.redis.clock import RedisClock, redis_now
from tests.support.consuming import message_of, waiting_ids, worker_app


@pytest.fixture
def app(settings, client):
    with worker_app(settings) as made:
        yield made


def sent(client):
    """The messages that wait, the next one first."""
    return [message_of(client, job_id) for job_id in waiting_ids(client)]


def test_a_message_carries_the_time_of_redis(app, client):
    before = redis_now(client)
    app.send_task("cv.hsv", priority=5)
    after = redis_now(client)
    (message,) = sent(client)
    assert before - 0.1 < message["headers"][HEADER] < after + 0.1
    assert message["properties"]["priority"] == 5


def test_a_sender_whose_clock_is_wrong_stamps_by_redis_all_the_same(app, client, monkeypatch):
    wrong = time.time
    monkeypatch.setattr(time, "time", lambda: wrong() - 86_400)
    before = redis_now(client)
    app.send_task("cv.hsv", priority=5)
    after = redis_now(client)
    (message,) = sent(client)
    assert before - 0.1 < message["headers"][HEADER] < after + 0.1


@pytest.mark.parametrize("jump_s", [30, -30])
def test_a_senders_clock_that_is_set_between_two_messages_does_not_matter(
    client, monkeypatch, jump_s
):
    clock, right = RedisClock(), time.time
    clock.now(client)
    monkeypatch.setattr(time, "time", lambda: right() + jump_s)
    assert abs(clock.now(client) - redis_now(client)) < 0.1


def test_redis_is_asked_for_its_time_once_in_a_while_only(client):
    clock = RedisClock()
    client.config_resetstat()
    times = [clock.now(client) for _ in range(100)]
    assert times == sorted(times)
    assert client.info("commandstats")["cmdstat_time"]["calls"] == 1


def test_a_time_that_the_sender_gives_is_kept(app, client):
    app.send_task("cv.hsv", priority=5, headers={HEADER: 5.0})
    assert sent(client)[0]["headers"][HEADER] == 5.0


def test_the_messages_of_another_app_in_the_process_are_left_alone(app, settings, client):
    with Celery(broker=broker_url(settings.redis_url.get_secret_value())) as other:
        other.send_task("their.task", queue="theirs")
    app.send_task("cv.hsv", priority=5)
    assert HEADER not in json.loads(client.lindex("theirs", 0))["headers"]


def run_worker(app, client, results):
    """Work until so many results have been noted."""
    with start_worker(app, pool="solo", perform_ping_check=False, queues=["cv"]):
        deadline = time.monotonic() + 60
        while client.llen("seen") < results and time.monotonic() < deadline:
            time.sleep(0.02)
    return [json.loads(raw) for raw in client.lrange("seen", 0, -1)]


def note(client, request):
    time_of_job = request.headers[HEADER]
    level = request.delivery_info["priority"]
    client.rpush("seen", json.dumps([time_of_job, request.retries, level]))


def test_a_retry_keeps_the_time_and_the_level_of_the_first(app, client):
    @app.task(bind=True, shared=False, name="cv.retried", max_retries=2)
    def retried(self):
        note(client, self.request)
        if self.request.retries < 2:
            raise self.retry(countdown=0)

    retried.apply_async(priority=7)
    enqueued_at = sent(client)[0]["headers"][HEADER]
    assert run_worker(app, client, 3) == [[enqueued_at, n, 7] for n in range(3)]


def test_each_step_of_a_chain_keeps_the_time_of_the_first(app, client):
    @app.task(bind=True, shared=False, name="cv.step")
    def step(self, *_):
        note(client, self.request)

    chain(step.s(), step.s(), step.s()).apply_async(priority=3)
    enqueued_at = sent(client)[0]["headers"][HEADER]
    assert run_worker(app, client, 3) == [[enqueued_at, 0, 3]] * 3
