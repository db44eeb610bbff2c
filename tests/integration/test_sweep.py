"""The sweep as tables: what waits on which level before and after, on a real Redis."""

import json

import pytest
from celery import Celery
from workers.sweep import sweep, sweep_queues

from shared import keys
from shared.aging import AgingPolicy
from shared.celery_app import broker_url, make_app
from shared.names import LEVELS
from shared.queue.status import queue_status
from shared.stamp import redis_now
from tests.integration.sweeping import POLICY, QUEUE, message, raw_list, run, table, wait
from workers import sweep as sweep_module

pytestmark = pytest.mark.usefixtures("unhurried")


@pytest.mark.parametrize("level", LEVELS)
def test_nothing_climbs_before_its_time(client, level):
    wait(client, level, message("a", level, waited_s=19.99))
    assert run(client).moved == 0
    assert table(client) == {level: ["a"]}


@pytest.mark.parametrize("level", LEVELS[1:])
def test_each_level_climbs_when_it_has_waited_its_time(client, level):
    wait(client, level, message("a", level, waited_s=20.01), message("b", level, waited_s=19.99))
    assert run(client).moved == 1
    assert table(client) == {level - 1: ["a"], level: ["b"]}


@pytest.mark.parametrize(
    ("waited_s", "level"),
    [(0, 9), (20.01, 8), (39.9, 8), (40.1, 7), (100.1, 4), (179.9, 1), (180.1, 0), (1e9, 0)],
)
def test_a_job_jumps_to_the_level_that_it_has_climbed_to(client, waited_s, level):
    wait(client, 9, message("a", 9, waited_s))
    run(client)
    assert table(client) == {level: ["a"]}


def test_a_job_goes_behind_those_that_are_before_it_and_ahead_of_those_that_are_not(client):
    wait(client, 4, message("b", 4, waited_s=3), message("d", 4, waited_s=0.5))
    wait(client, 5, message("a", 5, waited_s=24), message("c", 5, waited_s=21))
    run(client)
    assert table(client) == {4: ["a", "b", "c", "d"]}


def test_jobs_from_several_levels_merge_into_one_order(client):
    """As after a time without sweeps."""
    waited = {"a": (9, 400), "b": (5, 310), "c": (9, 380), "d": (2, 235), "e": (0, 190)}
    for name, (level, waited_s) in waited.items():
        wait(client, level, message(name, level, waited_s))
    run(client)
    v = {name: level * 20 - waited_s for name, (level, waited_s) in waited.items()}
    assert table(client) == {0: sorted(waited, key=v.__getitem__)}


def test_a_second_sweep_at_the_same_time_changes_nothing(client):
    for level in LEVELS:
        wait(client, level, *(message(f"{level}-{n}", level, 200 - 9 * n) for n in range(20)))
    run(client)
    before = [raw_list(client, level) for level in LEVELS]
    assert run(client).moved == 0
    assert [raw_list(client, level) for level in LEVELS] == before


def test_a_call_is_bounded_and_the_sweep_goes_on_to_the_end(client):
    jobs = 2 * sweep_module.MOVES_A_CALL + 1
    wait(client, 5, *(message(f"{n}", waited_s=30 + (jobs - n) / 1000) for n in range(jobs)))
    swept = run(client)
    assert swept.moved == jobs
    assert swept.calls == 4  # the first puts what came into its place
    assert table(client) == {4: [f"{n}" for n in range(jobs)]}


def test_a_call_ends_when_its_time_is_up_and_moves_at_least_one_job(client, monkeypatch):
    def fill():
        client.flushall()
        large = "QUJD" * 5000
        wait(client, 5, *(message(f"{n}", waited_s=30 - n / 10) | {"body": large} for n in jobs))

    jobs = range(50)
    fill()
    assert run(client).calls == 2
    expected = table(client)
    fill()
    monkeypatch.setattr(sweep_module, "CALL_S", 0.0)
    swept = run(client)
    assert swept.moved == len(jobs)
    assert swept.calls > len(jobs)
    assert table(client) == expected == {4: [f"{n}" for n in jobs]}


@pytest.mark.parametrize(("limit", "value"), [("MOVES_A_CALL", 1), ("CALL_S", 0.0)])
def test_a_small_budget_ends_in_the_same_order(client, monkeypatch, limit, value):
    def fill():
        client.flushall()
        for level in LEVELS:
            wait(client, level, *(message(f"{level}-{n}", level, 99 - 9 * n) for n in range(10)))

    fill()
    run(client)
    expected = table(client)
    fill()
    monkeypatch.setattr(sweep_module, limit, value)
    run(client)
    assert table(client) == expected


def test_without_aging_nothing_moves(client):
    wait(client, 9, message("a", 9, waited_s=1e6))
    assert run(client, policy=AgingPolicy(0)).calls == 0
    assert table(client) == {9: ["a"]}


def test_each_queue_is_swept_by_its_own_rate(client, settings):
    waited_since = redis_now(client) - 10
    for queue in ("cv", "infer"):
        aged = message("a", 5) | {"headers": {"id": "a", "enqueued_at": waited_since}}
        client.lpush(keys.waiting_list(queue, 5), json.dumps(aged))
    sweep_queues(client, settings.model_copy(update={"aging_k_by_queue": {"infer": 0.1}}))
    assert client.llen(keys.waiting_list("cv", 5)) == 1
    assert client.llen(keys.waiting_list("infer", 4)) == 1
    assert client.hget(keys.aging("infer"), "moved") == b"1"
    assert client.hget(keys.aging("cv"), "moved") == b"0"


def test_climbs_are_counted_by_the_level_that_jobs_leave(client, settings):
    """A mean over the last minute that starts from nothing: after a second, 1/60 of the rate."""
    now = redis_now(client)
    for level, jobs in {9: 3, 5: 2, 1: 1, 0: 4}.items():
        for n in range(jobs):
            aged = message("a", level) | {"headers": {"id": f"{n}", "enqueued_at": now - 25}}
            client.lpush(keys.waiting_list("cv", level), json.dumps(aged))
    sweep_queues(client, settings)
    [cv] = [each for each in queue_status(client, settings, now) if each.queue == "cv"]
    climbs = [level.climbs_per_minute for level in cv.levels]
    assert climbs == pytest.approx([0, 1, 0, 0, 0, 2, 0, 0, 0, 3], rel=0.02)
    assert cv.climbs_per_minute == pytest.approx(6, rel=0.02)


def plain_app(settings):
    """A Celery app that knows nothing of ours but the lists."""
    app = Celery(broker=broker_url(settings.redis_url.get_secret_value()), set_as_current=False)
    app.conf.broker_transport_options = {"priority_steps": list(LEVELS)}
    app.conf.task_default_queue = QUEUE
    return app


@pytest.mark.parametrize("make", [make_app, plain_app])
def test_kombu_writes_to_these_lists_and_the_sweep_reads_what_it_writes(client, settings, make):
    before = redis_now(client)
    with make(settings) as app:
        for level in LEVELS:
            app.send_task("cv.hsv", args=['"enqueued_at": 5'], priority=level, task_id=f"{level}")
    assert table(client) == {level: [f"{level}"] for level in LEVELS}
    now = redis_now(client)
    sweep(client, QUEUE, POLICY, now)
    sweep(client, QUEUE, POLICY, before + 19.9)
    assert table(client) == {level: [f"{level}"] for level in LEVELS}
    sweep(client, QUEUE, POLICY, now + 20.1)
    assert table(client) == {0: ["0", "1"]} | {level: [f"{level + 1}"] for level in range(1, 9)}


def test_kombu_takes_what_the_sweep_has_moved_and_returns_it_to_its_given_level(client, settings):
    with make_app(settings) as app, app.connection_for_read() as connection:
        app.send_task("cv.hsv", priority=5, task_id="a")
        sweep(client, QUEUE, POLICY, redis_now(client) + 1000)
        assert table(client) == {0: ["a"]}
        channel = connection.default_channel
        taken = channel.basic_get(QUEUE, no_ack=False)
        channel.qos.restore_by_tag(taken.delivery_tag)
        assert table(client) == {5: ["a"]}
        assert json.loads(raw_list(client, 5)[0])["headers"]["redelivered"] is True
        sweep(client, QUEUE, POLICY, redis_now(client) + 1000)
        assert table(client) == {0: ["a"]}
