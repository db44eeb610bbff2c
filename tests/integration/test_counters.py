"""Counters that cannot be written: they fail nothing, and somebody hears of it."""

import pytest
from celery.app.task import Context
from prometheus_client import CollectorRegistry
from workers.liveness import return_jobs_of_dead_workers
from workers.sweep import sweep_queues

from shared import keys
from shared.celery_app import make_app
from shared.metrics import Metric, counter, tally
from shared.queue.dead_letters import DeadLetters
from shared.queue.ledger import End, Ledger, Start
from shared.queue.record import State
from shared.stamp import redis_now
from workers.exporter import Collector

FULL = 2**63 - 1
"""The largest number that HINCRBY writes."""


@pytest.fixture
def ledger(client):
    return Ledger(client, 1000)


def start(job_id, **changes):
    return Start(**{"job_id": job_id, "op": "hsv", "items": 1, "worker": "cv@here", "level": 5,
                    "enqueued_at": None} | changes)  # fmt: skip


def dropped(client):
    return int(client.hget(keys.COUNTS, "metrics_dropped") or 0)


def test_a_job_ends_though_its_metrics_have_no_room_left(ledger, client):
    client.hset(keys.METRICS, counter(Metric.ENDED, "done"), FULL)
    tally.count(Metric.REFUSED, "MaskError", by=FULL)
    tally.count(Metric.REFUSED, "ShapeError")
    client.hset(keys.METRICS, counter(Metric.REFUSED, "MaskError"), FULL)
    ledger.start(start("job"), 3)
    assert ledger.end(End("job", State.DONE), "a result")
    assert ledger.get("job").state is State.DONE
    assert client.get(keys.result("job")) == b"a result"
    assert client.hget(keys.METRICS, counter(Metric.REFUSED, "ShapeError")) == b"1"
    assert dropped(client) == 2


@pytest.mark.parametrize("damage", ["text", "list"])
def test_jobs_start_and_end_whatever_lies_where_counters_should(ledger, client, damage):
    for key in (keys.METRICS, keys.COUNTS, keys.STARTED):
        client.set(key, "text") if damage == "text" else client.rpush(key, "item")
    assert ledger.start(start("job"), 3) is State.RUNNING
    assert ledger.end(End("job", State.DONE))
    assert not ledger.end(End("job", State.FAILED))
    assert ledger.get("job").state is State.DONE
    DeadLetters(client).keep_message("letter", "cv", b"raw", "no message")
    assert DeadLetters(client).get("letter").raw == b"raw"


def test_a_wait_of_ages_is_no_more_than_a_metric_holds(ledger, client):
    for number in range(10):
        ledger.start(start(f"job-{number}", enqueued_at=0.0), 3)
        assert ledger.end(End(f"job-{number}", State.DONE))
    assert dropped(client) == 0
    assert int(client.hget(keys.METRICS, "WAIT|hsv|5|sum")) == 10 * 1e8 * 1e6


def test_a_sweep_goes_on_though_its_counters_have_no_room_left(settings, client):
    client.hset(keys.aging("cv"), "calls", FULL)
    sweep_queues(client, settings)
    sweep_queues(client, settings)
    assert float(client.hget(keys.aging("cv"), "last_run_at")) == pytest.approx(
        redis_now(client), abs=5
    )
    assert dropped(client) >= 2


def test_the_jobs_of_a_dead_worker_return_though_nobody_can_count_them(client):
    client.hset(keys.COUNTS, "returned", FULL)
    client.sadd(keys.WORKER_IDS, "gone")
    client.hset(keys.reserved("gone"), "tag", b"cv\nno message")
    assert return_jobs_of_dead_workers(client) == 1
    assert client.lrange("cv", 0, -1) == [b"no message"]


def test_prometheus_is_told_of_dropped_metrics_and_reads_past_garbage(settings, client, ledger):
    client.hset(
        keys.METRICS,
        mapping={b"ENDED|done|sum": "x", b"\xff": 1, counter(Metric.ENDED, "failed"): FULL},
    )
    client.hset(keys.COUNTS, mapping={b"\xff": 1, "lost": "many"})
    ledger.end(End("job", State.FAILED))
    registry = CollectorRegistry()
    registry.register(Collector(client, settings))
    assert registry.get_sample_value("agewell_up") == 1
    assert registry.get_sample_value("agewell_rare_events_total", {"what": "metrics_dropped"}) == 1


@pytest.mark.parametrize("value", [b"nan", b"-nan", b"inf", b"abc", b""])
def test_a_reserved_message_is_given_back_whatever_its_record_says(
    ledger, client, value, monkeypatch
):
    from workers import reserved

    monkeypatch.setattr(reserved.worker_state, "should_stop", 0)
    raw = b'{"headers": {"id": "job"}, "properties": {"delivery_info": {}}}'
    ledger.start(start("job"), 3)
    client.hset(keys.job("job"), "enqueued_at", value)
    client.hset(keys.reserved("run"), "tag", b"cv\n" + raw)
    assert reserved.give_back(client, keys.reserved("run"), "tag")
    assert ledger.state("job") is State.WAITING
    assert ledger.get("job") is not None


@pytest.mark.parametrize("place", ["abc", -1e400, []])
def test_a_part_of_a_chord_without_a_place_in_it_does_not_come_back(settings, client, place):
    request = Context(
        id="part", task="cv.hsv", args=[{}], group="all", group_index=place,
        chord={"task": "cv.hsv", "args": [], "kwargs": {}, "options": {}},
    )  # fmt: skip
    with make_app(settings) as app:
        app.backend.mark_as_done("part", {"items": []}, request)
    assert Ledger(client, 1000).state("part") is State.DONE
