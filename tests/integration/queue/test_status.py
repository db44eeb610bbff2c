"""The queues' figures, held to the jobs that were published."""

import math
from datetime import UTC, datetime, timedelta

import celery
import pytest

from agewell.shared.celery.app import broker_url, make_app
from agewell.shared.protocol.levels import LEVELS
from agewell.shared.queue.status import queue_status
from agewell.shared.redis import keys
from agewell.shared.redis.clock import redis_now

K = 0.05
WAITED_S = [0.0, 1.0, 19.0, 21.0, 39.0, 41.0, 75.0, 210.0, 5000.0]


@pytest.fixture
def app(settings, client):
    with make_app(settings) as made:
        yield made


def cv(client, settings, now):
    [found] = [each for each in queue_status(client, settings, now) if each.queue == "cv"]
    return found


def send(app, level=5, waited_s=0.0, **options):
    at = redis_now(app.backend.client) - waited_s
    headers = {"enqueued_at": at} | options.pop("headers", {})
    app.send_task("cv.hsv", args=[{}], priority=level, headers=headers, **options)
    return at


def test_each_level_counts_the_jobs_that_have_climbed_to_it(app, client, settings):
    jobs = [(level, send(app, level, waited_s)) for level in LEVELS for waited_s in WAITED_S]
    now = redis_now(client)
    expected = [0] * len(LEVELS)
    for level, at in jobs:
        expected[max(0, math.ceil(level - K * (now - at)))] += 1
    found = cv(client, settings, now)
    assert [each.waiting for each in found.levels] == expected
    assert found.k_per_s == K


def test_without_aging_each_job_counts_on_its_own_level(app, client, settings):
    client.hset(keys.AGING_K, "cv", 0)
    for waited_s in WAITED_S:
        send(app, 7, waited_s)
    found = cv(client, settings, redis_now(client))
    assert [each.waiting for each in found.levels] == [0] * 7 + [len(WAITED_S), 0, 0]
    assert found.levels[7].head_log_weight == -7


def test_the_first_job_of_a_level_is_the_one_that_goes_first(app, client, settings):
    send(app, 5, 10.0)
    at = send(app, 7, 55.0)
    now = redis_now(client)
    head = cv(client, settings, now).levels[5]
    assert head.waiting == 2
    assert head.oldest_wait_s == pytest.approx(now - at, abs=1e-3)
    assert head.head_log_weight == pytest.approx(K * (now - at) - 7, abs=1e-3)


def test_messages_that_are_not_admitted_yet_are_counted(app, client, settings):
    plain = celery.Celery("plain", broker=broker_url(settings.redis_url.get_secret_value()))
    plain.conf.broker_transport_options = {"priority_steps": list(LEVELS)}
    for level in (0, 0, 4):
        plain.send_task("cv.hsv", args=[{}], queue="cv", priority=level)
    send(app, 4)
    found = cv(client, settings, redis_now(client))
    assert [each.waiting for each in found.levels] == [2, 0, 0, 0, 2, 0, 0, 0, 0, 0]


def test_scheduled_jobs_are_counted_apart_from_waiting_ones(app, client, settings):
    send(app, countdown=100)
    send(app, eta=datetime.now(UTC) + timedelta(hours=1))
    send(app)
    found = cv(client, settings, redis_now(client))
    assert found.scheduled == 2
    assert sum(each.waiting for each in found.levels) == 1


def test_no_message_is_read(app, client, settings):
    large = "x" * 300_000
    for level in LEVELS:
        app.send_task("cv.hsv", args=[large], priority=level, queue="cv")
        app.send_task("cv.hsv", args=[large], priority=level, queue="cv", countdown=100)
    before = client.info("stats")["total_net_output_bytes"]
    queue_status(client, settings, redis_now(client))
    assert client.info("stats")["total_net_output_bytes"] - before < 20_000


def test_the_work_does_not_grow_with_the_backlog(app, client, settings):
    def commands(jobs):
        client.flushall()
        for number in range(jobs):
            send(app, number % 10, number)
        client.config_resetstat()
        queue_status(client, settings, redis_now(client))
        return {
            name: each["calls"]
            for name, each in client.info("commandstats").items()
            if name != "cmdstat_time"
        }

    assert commands(20) == commands(200)
