"""The sweep as tables: what waits on which level before and after, on a real Redis."""

import json
import random

import pytest
from celery import Celery

from shared import keys
from shared.aging import AgingPolicy
from shared.celery_app import broker_url, make_app
from shared.names import LEVELS
from shared.queues import queue_status
from shared.stamp import redis_now
from workers import sweep as sweep_module
from workers.sweep import sweep, sweep_queues

QUEUE = "cv"
POLICY = AgingPolicy(0.05)  # a level every 20 s
NOW = 1_700_000_000.0


@pytest.fixture(autouse=True)
def unhurried(monkeypatch):
    """How far a call comes in its time is the machine's matter; what it does there is ours."""
    monkeypatch.setattr(sweep_module, "CALL_S", 60.0)


def message(name, level=5, waited_s=0.0, **headers):
    """A message with the fields, and in the order, that kombu writes; None leaves a field out."""
    given = {
        "lang": "py",
        "task": "cv.hsv",
        "id": name,
        "retries": 0,
        "parent_id": None,
        "argsrepr": "()",
        "enqueued_at": None if waited_s is None else NOW - waited_s,
        **headers,
    }
    if waited_s is None:
        del given["enqueued_at"]
    properties = {"correlation_id": name, "delivery_mode": 2, "priority": level}
    if level is None:
        del properties["priority"]
    return {
        "body": "W1tdLCB7fV0=",
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": given,
        "properties": {**properties, "body_encoding": "base64", "delivery_tag": f"tag-{name}"},
    }


def wait(client, level, *messages):
    """Have messages wait on a level, the first of them at the head."""
    for each in messages:
        raw = each if isinstance(each, str | bytes) else json.dumps(each)
        client.lpush(keys.waiting_list(QUEUE, level), raw)


def raw_list(client, level):
    """What waits on a level, head first."""
    return client.lrange(keys.waiting_list(QUEUE, level), 0, -1)[::-1]


def name_of(raw):
    try:
        return json.loads(raw)["headers"]["id"]
    except ValueError:
        return raw.decode()


def table(client):
    """Level -> the names that wait on it, head first; empty levels are left out."""
    names = {level: [name_of(raw) for raw in raw_list(client, level)] for level in LEVELS}
    return {level: waiting for level, waiting in names.items() if waiting}


def run(client, after_s=0.0, policy=POLICY):
    return sweep(client, QUEUE, policy, NOW + after_s)


def enqueued_at(client, level, place=0):
    return json.loads(raw_list(client, level)[place])["headers"]["enqueued_at"]


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


def test_a_job_that_came_back_goes_to_its_place_near_the_head(client):
    wait(client, 4, *(message(name, 4, waited_s) for name, waited_s in [("a", 9), ("c", 7)]))
    wait(client, 5, message("b", 5, waited_s=28, redelivered=True), message("d", 5, 1))
    run(client)
    assert table(client) == {4: ["a", "b", "c"], 5: ["d"]}


def test_a_job_that_came_back_goes_to_the_head_where_it_is_the_oldest(client):
    wait(client, 0, *(message(f"{n}", 0, 100 - n) for n in range(90)))
    wait(client, 5, message("a", 5, waited_s=201, redelivered=True))
    run(client)
    assert table(client)[0][:3] == ["a", "0", "1"]


def test_jobs_that_came_back_in_another_order_than_theirs_are_put_in_theirs(client):
    """Each is pushed to the head as it comes; one that has climbed must not hide behind another."""
    came = [("d", 5), ("b", 170), ("c", 9)]
    wait(client, 9, *(message(name, 9, waited_s, redelivered=True) for name, waited_s in came))
    wait(client, 9, message("e", 9, 2))
    run(client)
    assert table(client) == {1: ["b"], 9: ["c", "d", "e"]}


@pytest.mark.parametrize("inherits", [{"retries": 2}, {"parent_id": "first"}])
def test_a_retry_and_a_next_step_go_from_the_tail_to_the_place_of_their_time(client, inherits):
    wait(client, 5, *(message(f"{n}", 5, 15 - n) for n in range(5)))
    wait(client, 5, message("x", 5, 13.5, **inherits), message("y", 5, 70, **inherits))
    wait(client, 5, message("new", 5, 0))
    run(client)
    assert table(client) == {2: ["y"], 5: ["0", "1", "x", "2", "3", "4", "new"]}


def test_a_retry_behind_hundreds_of_newer_jobs_is_found_on_every_level(client):
    """As many come between two sweeps on one level; on the others at least a few."""
    for level in LEVELS:
        wait(client, level, message(f"old {level}", level, 15))
        wait(client, level, message(f"retry {level}", level, 16, retries=1))
    wait(client, 0, *(message(f"{n}", 0, 0) for n in range(200)))
    run(client)
    for level in LEVELS:
        assert table(client)[level][:2] == [f"retry {level}", f"old {level}"]


@pytest.mark.parametrize("call_s", [60.0, 0.0])
def test_what_a_call_has_no_time_to_place_the_next_one_places(client, monkeypatch, call_s):
    """Ten retries at the tail, or ten jobs that came back to the head, each with another place."""
    monkeypatch.setattr(sweep_module, "CALL_S", call_s)
    wait(client, 3, *(message(f"{n}", 3, 15 - n, redelivered=True) for n in (7, 2, 4, 9, 3, 1)))
    wait(client, 3, *(message(f"{n}", 3, 15 - n) for n in (0, 5, 6, 8, 10)))
    wait(client, 5, *(message(f"{n}", 5, 15 - n) for n in (0, 5, 6, 8, 10)))
    wait(client, 5, *(message(f"{n}", 5, 15 - n, retries=1) for n in (7, 2, 4, 9, 3, 1)))
    swept = run(client)
    assert table(client) == {level: [f"{n}" for n in range(11)] for level in (3, 5)}
    assert (swept.calls > 4) == (call_s == 0)


@pytest.mark.parametrize("call_s", [60.0, 0.0005])
def test_retries_among_thousands_that_came_at_once_are_all_put_into_their_places(
    client, monkeypatch, call_s
):
    """More than one call can read: each goes on where the one before it ended."""
    monkeypatch.setattr(sweep_module, "CALL_S", call_s)
    wait(client, 5, *(message(f"{n}", 5, 15 - n / 1000) for n in range(900)))
    early = random.Random(1).sample(range(900), 30)
    for n in range(3000):
        wait(client, 5, message(f"new {n}", 5, 0.5 - n / 10_000))
        if n % 100 == 70:
            waited_s = 15 - (early[n // 100] + 0.5) / 1000
            wait(client, 5, message(f"retry {n}", 5, waited_s, retries=1))
    swept = run(client)
    waiting = [json.loads(raw)["headers"]["enqueued_at"] for raw in raw_list(client, 5)]
    assert len(waiting) == 3930
    assert waiting == sorted(waiting)
    assert (swept.calls > 4) == (call_s < 1)


def test_a_foreign_message_ages_from_when_it_is_first_seen(client):
    wait(client, 5, message("a", waited_s=None))
    run(client)
    assert enqueued_at(client, 5) == NOW
    run(client, after_s=19.9)
    assert table(client) == {5: ["a"]}
    run(client, after_s=20.1)
    assert table(client) == {4: ["a"]}
    assert enqueued_at(client, 4) == NOW


@pytest.mark.parametrize("headers", [{}, {"id": "a"}, {"id": "a", "enqueued_at": None}])
def test_any_headers_take_a_stamp(client, headers):
    wait(client, 5, {**message("a"), "headers": headers})
    run(client)
    run(client, after_s=20.1)
    assert len(raw_list(client, 4)) == 1


def test_foreign_messages_do_not_hold_up_what_is_behind_them(client):
    foreign = [message(f"f{n}", waited_s=None) for n in range(5)]
    wait(client, 5, *foreign, message("a", waited_s=30), message("b", waited_s=10))
    run(client)
    assert table(client) == {4: ["f0", "f1", "f2", "f3", "f4", "a"], 5: ["b"]}


@pytest.mark.parametrize("inherits", [{"retries": 2}, {"parent_id": "first"}])
def test_a_retry_that_goes_ahead_of_a_foreign_message_stays(client, inherits):
    """The foreign one is stamped in the same call, and is no more the text that it was."""
    wait(client, 5, message("foreign", waited_s=None), message("young", waited_s=0.2))
    wait(client, 5, message("late", waited_s=15, **inherits))
    run(client)
    assert table(client) == {5: ["late", "foreign", "young"]}


def test_a_foreign_message_that_a_job_has_sent_is_there_once(client):
    wait(client, 5, message("ahead", waited_s=-0.003))
    wait(client, 5, message("foreign", waited_s=None, parent_id="a task of somebody else"))
    run(client)
    assert sorted(table(client)[5]) == ["ahead", "foreign"]


def test_a_foreign_message_does_not_take_the_age_of_a_step_that_comes_after_it(client):
    old = [message(name, waited_s=waited_s) for name, waited_s in [("a", 18), ("b", 17)]]
    wait(client, 5, *old, message("foreign", waited_s=None))
    wait(client, 5, message("step", waited_s=600, parent_id="first"))
    run(client)
    assert table(client) == {0: ["step"], 5: ["a", "b", "foreign"]}
    assert enqueued_at(client, 5, place=2) == NOW


def test_a_retry_ahead_of_a_foreign_message_and_a_step_is_found(client):
    wait(client, 5, message("a", waited_s=10), message("retry", waited_s=15, retries=1))
    wait(client, 5, message("foreign", waited_s=None))
    wait(client, 5, message("step", waited_s=600, parent_id="first"))
    run(client)
    assert table(client) == {0: ["step"], 5: ["retry", "a", "foreign"]}


def test_a_foreign_message_with_no_time_keeps_the_one_it_is_lent_where_it_goes_among_others(client):
    wait(client, 4, message("a", 4, waited_s=15), message("c", 4, waited_s=1))
    wait(client, 5, message("foreign", waited_s=None), message("b", waited_s=30))
    sweep(client, QUEUE, POLICY, NOW, since=NOW + 100)  # nothing is new: heads alone are looked at
    assert table(client) == {4: ["a", "foreign", "b", "c"]}
    assert NOW - 31 < enqueued_at(client, 4, place=1) <= NOW - 30


def test_thousands_of_large_foreign_messages_are_all_stamped_by_the_first_sweep(client):
    large = {"body": "QUJD" * 10_000}
    wait(client, 5, *(message(f"{n}", waited_s=None) | large for n in range(300)))
    run(client)
    assert {json.loads(raw)["headers"]["enqueued_at"] for raw in raw_list(client, 5)} == {NOW}


def test_a_burst_of_foreign_messages_climbs_together(client):
    wait(client, 5, *(message(f"{n}", waited_s=None) for n in range(1000)))
    run(client)
    run(client, after_s=20.1)
    assert table(client) == {4: [f"{n}" for n in range(1000)]}


def test_a_message_from_the_future_counts_from_now(client):
    wait(client, 5, message("a", waited_s=-1000))
    run(client)
    assert enqueued_at(client, 5) == NOW
    run(client, after_s=20.1)
    assert table(client) == {4: ["a"]}


def test_a_clock_that_is_a_little_ahead_is_left_alone(client):
    wait(client, 5, message("a", waited_s=-0.5))
    run(client)
    assert enqueued_at(client, 5) == NOW + 0.5


def test_a_message_without_a_priority_is_of_level_0_as_kombu_has_it(client):
    wait(client, 0, message("a", level=None, waited_s=50))
    wait(client, 3, message("b", level=None, waited_s=50))
    run(client)
    assert table(client) == {0: ["a", "b"]}


@pytest.mark.parametrize("large", [{"body": "QUJD" * 50_000}, {"body": "priority " * 20_000}])
def test_a_large_message_without_a_priority_is_read_in_no_time(client, large):
    wait(client, 5, message("a", level=None, waited_s=50) | large, "x" * 200_000)
    run(client)
    assert table(client)[0][0] == "a"
    spent_s = client.info("commandstats")["cmdstat_evalsha"]["usec_per_call"] / 1e6
    assert spent_s < 0.5  # where a pattern is tried from every byte on, it is a minute


@pytest.mark.parametrize("level", ["5", 5, 12])
def test_a_priority_is_read_as_kombu_reads_it(client, level):
    wait(client, 9, message("a", level, waited_s=100.1))
    run(client)
    assert table(client) == ({4: ["a"]} if level == 12 else {0: ["a"]})


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" ,\n", "\t: ")])
def test_any_spelling_of_json_is_read(client, separators):
    def spell(each):
        return json.dumps(each, separators=separators)

    wait(client, 5, spell(message("a", waited_s=21)), spell(message("b", waited_s=None)))
    run(client)
    assert table(client) == {4: ["a"], 5: ["b"]}
    run(client, after_s=20.1)
    assert table(client) == {3: ["a"], 4: ["b"]}


def test_headers_may_come_after_properties(client):
    shuffled = dict(reversed(message("a", waited_s=21).items()))
    wait(client, 5, shuffled)
    run(client)
    assert table(client) == {4: ["a"]}


def test_a_large_body_is_no_hindrance(client):
    wait(client, 5, {**message("a", waited_s=21), "body": "QUJD" * 5000})
    run(client)
    assert table(client) == {4: ["a"]}


@pytest.mark.parametrize(
    "text",
    [
        '"enqueued_at": 5',
        '{"headers": {"enqueued_at": 5}, "properties": {"priority": 0}}',
        '\\"enqueued_at": 5, "redelivered": true',
        '"headers": {',
        "%d%z%",
        "\u0000\uffff",
    ],
)
@pytest.mark.parametrize("where", ["argsrepr", "shadow", "body", "origin"])
def test_text_is_never_taken_for_a_field(client, text, where):
    old, foreign = message("a", waited_s=21), message("b", waited_s=None)
    for each in (old, foreign):
        (each if where == "body" else each["headers"])[where] = text
    wait(client, 5, old, foreign)
    run(client)
    assert table(client) == {4: ["a"], 5: ["b"]}
    run(client, after_s=18)
    assert table(client) == {4: ["a"], 5: ["b"]}
    run(client, after_s=20.1)
    assert table(client) == {3: ["a"], 4: ["b"]}
    assert json.loads(raw_list(client, 4)[0])["headers"][where if where != "body" else "id"] in (
        text,
        "b",
    )


@pytest.mark.parametrize("garbage", ["", "not JSON", "{", "[]", '{"headers": []}', "\udcff", "%b"])
def test_garbage_neither_fails_nor_blocks_nor_is_lost(client, garbage):
    garbage = garbage.encode("utf-8", "surrogateescape")
    wait(client, 5, garbage, garbage, message("a", waited_s=45), garbage, message("b", waited_s=1))
    wait(client, 7, garbage)
    wait(client, 8, message("c", 8, waited_s=21))
    run(client)
    assert [len(raw_list(client, level)) for level in LEVELS] == [0, 0, 0, 3, 0, 2, 0, 2, 0, 0]
    assert raw_list(client, 3)[:2] == [garbage, garbage]
    assert raw_list(client, 7)[0] == garbage


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
