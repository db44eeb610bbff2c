"""Admission in steps: a flood of plain messages starves nothing, and idle workers hear of jobs."""

import logging
import time
from types import SimpleNamespace

import pytest

from agewell.shared.queue.admit import BYTES_A_CALL, JOBS_A_CALL, admit
from agewell.shared.queue.tenants import TenantLimits, set_limits
from agewell.shared.redis import keys
from agewell.shared.redis.clock import redis_now
from agewell.shared.settings import MAX_MESSAGE_BYTES
from agewell.workers.maintenance import admission
from tests.support.ordering import START, Scripts

K = {"cv": 0.05, "infer": 0.05}
FLOOD = 2000


@pytest.fixture
def flooded(client):
    """A queue onto whose bulk list somebody has pushed a flood."""
    scripts = Scripts(client)
    scripts.push_all([f"bulk-{number}" for number in range(FLOOD)], 9)
    return scripts


@pytest.fixture
def watch(client, settings, monkeypatch):
    monkeypatch.setattr(
        admission, "context", lambda: SimpleNamespace(settings=settings, client=client)
    )
    return admission.AdmissionTimer(SimpleNamespace())


def test_one_call_admits_a_bounded_number(client, flooded):
    assert admit(client, K, START, MAX_MESSAGE_BYTES)
    assert client.zcard(keys.order("cv")) == JOBS_A_CALL
    assert client.llen(keys.inlet("cv", 9)) == FLOOD - JOBS_A_CALL


def test_large_messages_are_admitted_few_a_call(client):
    scripts = Scripts(client)
    scripts.push_all(map(str, range(JOBS_A_CALL)), 5, padding="x" * (BYTES_A_CALL // 3))
    assert admit(client, K, START, MAX_MESSAGE_BYTES)
    assert client.zcard(keys.order("cv")) == 3


def test_urgent_message_passes_a_flood(client, flooded):
    flooded.push("urgent", 0)
    assert flooded.take(START)[0] == "urgent"


def test_flood_of_one_queue_does_not_hold_up_another(client, flooded):
    Scripts(client, queue="infer").push("other", 9)
    admit(client, K, START, MAX_MESSAGE_BYTES)
    assert Scripts(client, queue="infer").waiting() == ["other"]


def test_flood_does_not_hold_up_jobs_that_come_due(client, flooded):
    flooded.publish("due", 5, START, enqueued_at=START, eta="2023-11-14T22:13:30+00:00")
    admit(client, K, START + 11, MAX_MESSAGE_BYTES)
    assert "due" in flooded.waiting()
    assert not flooded.scheduled()


def test_flood_leaves_in_the_order_in_which_it_came(client, flooded):
    taken = [flooded.take(START)[0] for _ in range(100)]
    assert taken == [f"bulk-{number}" for number in range(100)]


@pytest.mark.alone
def test_whole_flood_is_admitted_by_looks(client, flooded, watch):
    looks = 0
    while client.exists(keys.inlet("cv", 9)):
        started = time.monotonic()
        watch._look(client)
        looks += 1
        assert time.monotonic() - started < 1
    assert client.zcard(keys.order("cv")) == FLOOD
    assert looks > 1


@pytest.fixture
def idle(client):
    """Two workers that wait for jobs, the first for longer. A third has died meanwhile."""
    wakes = [keys.wake(f"cv@here:1.1:{number}") for number in range(3)]
    ago_s = dict(zip(wakes, (2, 1, 60), strict=True))
    now = redis_now(client)
    client.zadd(keys.idle("cv"), {wake: now - ago_s[wake] for wake in wakes})
    return wakes


def test_each_job_wakes_one_idle_worker(client, watch, idle):
    Scripts(client).push("a", 5)
    watch._look(client)
    assert [client.llen(wake) for wake in idle] == [1, 0, 0]
    Scripts(client).push("b", 5)
    watch._look(client)
    assert [client.llen(wake) for wake in idle] == [1, 1, 0]
    assert 0 < client.ttl(idle[0]) <= 10


def test_an_idle_worker_is_woken_when_a_rate_allows_the_next_job(client, watch, idle):
    planned = []
    watch.start(SimpleNamespace(timer=Timer(planned)))
    now, scripts = redis_now(client), Scripts(client)
    set_limits(client, "a", TenantLimits(rate_per_s=20), now)
    for number in range(3):
        scripts.publish(str(number), 5, now, tenant="a", enqueued_at=now)
    client.delete(idle[0], idle[1])
    assert scripts.take(redis_now(client))
    watch._look(client)
    [in_s] = planned  # before the next regular look, in 0.1 s
    assert 0 < in_s <= 0.05
    time.sleep(in_s)
    client.zadd(keys.idle("cv"), {idle[0]: redis_now(client)})
    watch._look(client)
    assert client.llen(idle[0]) == 1
    assert scripts.take(redis_now(client))


class Timer:
    """Notes when it should look again."""

    def __init__(self, planned):
        self._planned = planned

    def call_repeatedly(self, *given):
        pass

    def call_after(self, in_s, *given):
        self._planned.append(in_s)
        return SimpleNamespace(cancel=lambda: None)


def test_look_wakes_another_worker_if_the_first_has_died(client, watch, idle):
    Scripts(client).publish("a", 5, START, enqueued_at=START)
    client.delete(idle[0])
    watch._look(client)
    assert [client.llen(wake) for wake in idle] == [0, 1, 0]


def test_redis_that_takes_no_writes_is_left_alone_for_a_while(client, watch, caplog):
    client.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        with caplog.at_level(logging.WARNING):
            watch._look(client)
            watch._look(client)
    finally:
        client.execute_command("REPLICAOF", "NO", "ONE")
    [record] = [each for each in caplog.records if each.name == admission.__name__]
    assert "Redis says" in record.getMessage()
