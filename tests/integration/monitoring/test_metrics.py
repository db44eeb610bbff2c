"""Counts of several processes in one Redis, compared with those of Prometheus's own client."""

import random
from collections import Counter
from collections.abc import Iterator

import prometheus_client
import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from agewell.shared.celery.app import make_app
from agewell.shared.metrics import SECONDS, Metric, Tally
from agewell.shared.protocol.levels import LEVELS
from agewell.shared.queue.tenant_load import LARGEST
from agewell.shared.redis import keys
from agewell.shared.redis.clock import redis_now
from agewell.shared.settings import Settings
from agewell.workers.monitoring.exporter import Collector
from tests.support.ordering import START, Scripts

SEEDED = random.Random(5)
VALUES = [0.0, 0.01, 0.0100001, 3600.0, 3600.1, 1e6, *(SEEDED.expovariate(0.3) for _ in range(500))]


def send(tally: Tally, client: redis.Redis) -> None:
    with tally.sending() as counts:
        for name, by in counts:
            client.hincrby(keys.METRICS, name, by)


def exposition(client: redis.Redis, settings: Settings) -> str:
    registry = prometheus_client.CollectorRegistry()
    registry.register(Collector(client, settings))
    return prometheus_client.generate_latest(registry).decode()


def samples(text: str, prefix: str) -> dict[tuple, float]:
    """Every sample of the families with this prefix, without the times of creation."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith(prefix) and not sample.name.endswith("_created")
    }


def test_a_histogram_of_many_processes_is_that_of_prometheus_own_client(client, settings):
    oracle = prometheus_client.CollectorRegistry()
    histogram = prometheus_client.Histogram(
        "agewell_job_wait_seconds", "-", ["op", "level"], buckets=SECONDS, registry=oracle
    )
    processes = [Tally() for _ in range(3)]
    for number, value in enumerate(VALUES):
        op, level = ("hsv", "infer")[number // 10 % 2], number % 10
        processes[number % 3].observe(Metric.WAIT, value, op, level)
        histogram.labels(op, str(level)).observe(value)
        if number % 7 == 0:
            send(processes[number % 3], client)
    for tally in processes:
        send(tally, client)
    found = samples(exposition(client, settings), "agewell_job_wait")
    expected = samples(prometheus_client.generate_latest(oracle).decode(), "agewell_job_wait")
    assert len(expected) == 20 * (len(SECONDS) + 3)
    assert found == pytest.approx(expected, abs=1e-3)


def test_counters_add_up(client, settings):
    tally = Tally()
    for state in ("done", "done", "failed"):
        tally.count(Metric.ENDED, state)
    tally.count(Metric.REFUSED, "UndecodableError", by=5)
    send(tally, client)
    send(tally, client)  # nothing is sent twice
    assert samples(exposition(client, settings), "agewell_jobs_ended") == {
        ("agewell_jobs_ended_total", frozenset({("state", "done")})): 2,
        ("agewell_jobs_ended_total", frozenset({("state", "failed")})): 1,
    }
    assert list(samples(exposition(client, settings), "agewell_refused").values()) == [5]


def test_counts_that_could_not_be_sent_are_sent_the_next_time(client, settings):
    tally = Tally()
    tally.count(Metric.ENDED, "done")
    with pytest.raises(redis.ConnectionError), tally.sending():
        tally.count(Metric.ENDED, "done")  # by another thread, meanwhile
        raise redis.ConnectionError
    send(tally, client)
    assert list(samples(exposition(client, settings), "agewell_jobs_ended").values()) == [2]


def test_a_clock_that_went_back_counts_as_no_time(client, settings):
    tally = Tally()
    tally.observe(Metric.RUN, -5.0, "hsv", 5)
    send(tally, client)
    found = samples(exposition(client, settings), "agewell_job_run")
    labels = {("op", "hsv"), ("level", "5")}
    assert found["agewell_job_run_seconds_bucket", frozenset(labels | {("le", "0.01")})] == 1
    assert found["agewell_job_run_seconds_sum", frozenset(labels)] == 0


def test_fields_of_another_version_are_left_out(client, settings):
    client.hset(
        keys.METRICS, mapping={"LATER|a|3": 4, "WAIT|hsv|sum": 4, "WAIT": 4, "ENDED|x|y": 1}
    )
    assert samples(exposition(client, settings), "agewell_job") != {}
    assert "LATER" not in exposition(client, settings)


def test_a_metric_takes_its_own_labels_and_no_others():
    with pytest.raises(ValueError, match="agewell_job_wait_seconds has the labels"):
        Tally().observe(Metric.WAIT, 1.0, "hsv")


@pytest.fixture
def waiting(client: redis.Redis) -> Iterator[dict[int, int]]:
    """Put some messages on each level. They need not be valid."""
    counts = {level: (level * 7) % 5 for level in LEVELS}
    for level, number in counts.items():
        for _ in range(number):
            client.lpush("infer" + (f"\x06\x16{level}" if level else ""), "no message")
    yield counts


def test_waiting_jobs_are_told_by_level(client, settings, waiting):
    found = samples(exposition(client, settings), "agewell_jobs_waiting")
    for level, number in waiting.items():
        labels = frozenset({("queue", "infer"), ("level", str(level))})
        assert found["agewell_jobs_waiting", labels] == number


def test_scheduled_jobs_are_told_by_queue(client, settings):
    with make_app(settings) as app:
        app.send_task("cv.hsv", args=[{}], queue="cv", countdown=100)
    found = samples(exposition(client, settings), "agewell_jobs_scheduled")
    numbers = {dict(labels)["queue"]: number for (_, labels), number in found.items()}
    assert numbers == {"cv": 1, "infer": 0, "upkeep": 0}


def test_the_k_in_force_is_told_rather_than_the_settings(client, settings):
    client.hset(keys.AGING_K, "infer", 0.5)
    found = samples(exposition(client, settings), "agewell_aging_k_per_second")
    assert found["agewell_aging_k_per_second", frozenset({("queue", "infer")})] == 0.5
    assert found["agewell_aging_k_per_second", frozenset({("queue", "cv")})] == settings.aging_k


def test_how_many_series_there_are_does_not_grow_with_the_jobs(client, settings):
    before = len(samples(exposition(client, settings), "agewell_"))
    for number in range(500):
        client.hset(f"agewell:job:{number}", "state", "done")
        client.lpush("cv", f"message {number}")
    assert len(samples(exposition(client, settings), "agewell_")) == before


def test_agewell_up_is_0_while_redis_is_away(settings):
    away = redis.Redis(host="127.0.0.1", port=1)
    assert samples(exposition(away, settings), "agewell_") == {("agewell_up", frozenset()): 0}


def test_the_largest_tenants_have_series_and_the_others_are_one(client, settings):
    assert samples(exposition(client, settings), "agewell_tenant_jobs") == {}
    scripts = Scripts(client)
    # The largest tenant has the name of the series of the others.
    sent = {"other": 30} | {f"team{number}/ana": 1 + number // 10 for number in range(100)}
    for name, count in sent.items():
        for number in range(count):
            scripts.publish(f"{name}:{number}", 5, START, tenant=name, enqueued_at=START)
    found = samples(exposition(client, settings), "agewell_tenant_jobs_waiting")
    series = {dict(labels)["tenant"]: value for (_, labels), value in found.items()}
    assert all(dict(labels)["queue"] == "cv" for _, labels in found)
    named = {name: value for name, value in series.items() if name != "other"}
    assert len(named) == LARGEST - 1
    assert all(value == sent[f"{name}/ana"] >= 9 for name, value in named.items())
    assert sum(series.values()) == sum(sent.values())


def tenants_series(collector, name):
    registry = prometheus_client.CollectorRegistry()
    registry.register(collector)
    text = prometheus_client.generate_latest(registry).decode()
    found = samples(text, f"agewell_tenant_{name}")
    return {dict(labels)["tenant"]: value for (_, labels), value in found.items()}


def test_shares_and_waits_of_tenants_are_those_of_the_looks(client, settings):
    collector, scripts, began = Collector(client, settings), Scripts(client), redis_now(client)
    client.sadd(keys.WORKER_IDS, "cv@here:1.1:x")
    for tenant, waited_s in (("ana", 90), ("ben", 30)):
        for number in range(3):
            at = began - waited_s + number
            scripts.publish(f"{tenant}:{number}", 5, began, tenant=tenant, enqueued_at=at)
    running, sums = Counter(), Counter()
    for _ in range(4):
        running[scripts.take(began)[0].partition(":")[0]] += 1
        collector.look()
        sums += running
    shares = tenants_series(collector, "share")
    assert sums.total() == 1 + 2 + 3 + 4
    for tenant in ("ana", "ben"):
        assert shares[tenant] == pytest.approx(sums[tenant] / sums.total())
    assert shares["other"] == 0
    waits = tenants_series(collector, "oldest_wait_seconds")
    for tenant, waited_s in (("ana", 90), ("ben", 30)):
        expected = waited_s - running[tenant] if running[tenant] < 3 else 0
        assert waits[tenant] == pytest.approx(expected, abs=2)


def test_a_tenant_that_is_not_among_the_largest_any_more_has_no_series(client, settings):
    collector, scripts = Collector(client, settings), Scripts(client)
    client.sadd(keys.WORKER_IDS, "cv@here:1.1:x")
    scripts.publish("a", 5, START, tenant="ana")
    taken = scripts.take(START)
    collector.look()
    names = ("jobs_waiting", "jobs_running", "oldest_wait_seconds", "share")
    assert all("ana" in tenants_series(collector, name) for name in names)
    for number in range(LARGEST):
        for job in range(2):
            scripts.publish(f"t{number}:{job}", 5, START, tenant=f"t{number}")
    collector.look()
    assert all("ana" not in tenants_series(collector, name) for name in names)
    assert tenants_series(collector, "jobs_running")["other"] == 1
    assert tenants_series(collector, "share")["other"] == 0.5
    scripts.end(taken[0], taken[1])
    for number in range(LARGEST):
        for job in range(2):
            scripts.cancel(f"t{number}:{job}")
    assert scripts.take(START) is None
    assert all(tenants_series(collector, name) == {} for name in names)
