"""Counters that cannot be written: they fail nothing, and somebody hears of it."""

import pytest
from celery.app.task import Context
from prometheus_client import CollectorRegistry

from agewell.shared.celery.app import make_app
from agewell.shared.metrics import Metric, counter, tally
from agewell.shared.queue.dead_letters import DeadLetters
from agewell.shared.queue.ledger import End, Ledger, Lifetimes
from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from agewell.shared.redis.clock import redis_now
from agewell.workers.maintenance.aging import reprioritise
from agewell.workers.maintenance.rescue import rescue_jobs
from agewell.workers.monitoring.exporter import Collector
from tests.support.consuming import waiting_ids
from tests.support.delivering import deliver
from tests.support.messages import good_job
from tests.support.taking import take

FULL = 2**63 - 1
"""The largest number that HINCRBY writes."""


@pytest.fixture
def start(settings, client):
    """Send a job and take it. Returns its id."""
    with make_app(settings) as app:

        def send_and_take(**options):
            app.send_task("cv.hsv", args=[{}], **options)
            return take(client).job_id

        yield send_and_take


def dropped(client):
    return int(client.hget(keys.COUNTS, "metrics_dropped") or 0)


def test_a_job_ends_though_its_metrics_have_no_room_left(ledger, client, start):
    client.hset(keys.METRICS, counter(Metric.ENDED, "done"), FULL)
    tally.count(Metric.REFUSED, "MaskError", by=FULL)
    tally.count(Metric.REFUSED, "ShapeError")
    client.hset(keys.METRICS, counter(Metric.REFUSED, "MaskError"), FULL)
    job_id = start()
    assert ledger.end(End(job_id, State.DONE), "a result")
    assert ledger.get(job_id).state is State.DONE
    assert client.get(keys.result(job_id)) == b"a result"
    assert client.hget(keys.METRICS, counter(Metric.REFUSED, "ShapeError")) == b"1"
    assert dropped(client) == 2


@pytest.mark.parametrize("damage", ["text", "list"])
def test_jobs_start_and_end_with_garbage_in_the_counters(ledger, client, start, damage):
    for key in (keys.METRICS, keys.COUNTS, keys.STARTED):
        client.set(key, "text") if damage == "text" else client.rpush(key, "item")
    job_id = start()
    assert ledger.get(job_id).state is State.RUNNING
    assert ledger.end(End(job_id, State.DONE))
    assert not ledger.end(End(job_id, State.FAILED))
    assert ledger.get(job_id).state is State.DONE
    DeadLetters(client).keep_message("letter", "cv", b"raw", "no message")
    assert DeadLetters(client).get("letter").raw == b"raw"


def test_a_wait_of_ages_is_no_more_than_a_metric_holds(app, client):
    with tally.sending():
        pass  # what other tests have left
    for _ in range(10):
        app.send_task("cv.hsv", args=[good_job()], headers={"enqueued_at": 0.0})
        deliver(app)
    assert dropped(client) == 0
    assert int(client.hget(keys.METRICS, "WAIT|hsv|5|sum")) == 10 * 1e8 * 1e6


def test_a_sweep_goes_on_though_its_counters_have_no_room_left(settings, client):
    for field in ("calls", "moved", "rescored"):
        client.hset(keys.aging("cv"), field, FULL)
    for _ in range(2):
        reprioritise(client, settings, redis_now(client))
    assert float(client.hget(keys.aging("cv"), "last_run_at")) == pytest.approx(
        redis_now(client), abs=5
    )


def test_dead_workers_jobs_return_though_counting_fails(settings, client, start, ledger):
    client.hset(keys.COUNTS, "returned", FULL)
    job_id = start()
    assert rescue_jobs(client, settings) == 1
    assert waiting_ids(client) == [job_id]
    assert ledger.state(job_id) is State.WAITING
    assert dropped(client) == 1


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


@pytest.mark.parametrize("place", ["abc", -1e400, []])
def test_a_part_of_a_chord_without_a_place_in_it_does_not_come_back(settings, client, place):
    request = Context(
        id="part", task="cv.hsv", args=[{}], group="all", group_index=place,
        chord={"task": "cv.hsv", "args": [], "kwargs": {}, "options": {}},
    )  # fmt: skip
    with make_app(settings) as app:
        app.backend.mark_as_done("part", {"items": []}, request)
    assert Ledger(client, Lifetimes(1000, 1000)).state("part") is State.DONE
