"""Tenants who try to get more than their share, by due dates, old times, weights or two queues."""

import itertools
from collections import Counter

import pytest

from agewell.shared.queue.tenants import TenantLimits, set_limits
from agewell.shared.redis import keys
from tests.support.ordering import START, Scripts
from tests.support.programs import on_one_server

pytestmark = on_one_server

COST_S = 0.1
"""The cost of an operation that was never measured. All jobs here run that long, on one worker."""

LEVEL_S = 20.0
"""The head start of a level, for k = 0.05."""


@pytest.fixture
def scripts(client):
    return Scripts(client)


class Sender:
    """A tenant's jobs, all alike."""

    def __init__(self, scripts, tenant, level=5, **headers):
        self._scripts, self._tenant, self._level = scripts, tenant, level
        self._headers, self._numbers = headers, itertools.count()

    def send(self, count, now, **headers):
        for _ in range(count):
            self._scripts.publish(
                f"{self._tenant}-{next(self._numbers)}", self._level, now, tenant=self._tenant,
                **{"enqueued_at": now, **self._headers, **headers},
            )  # fmt: skip

    def next_step(self, now, **headers):
        """Send a job if none waits, like a chain or a client that waits for each result."""
        if not self._scripts.client.exists(keys.tenant_jobs("cv", self._tenant)):
            self.send(1, now, **headers)


def serve(scripts, seconds, now, before_each=lambda now: None):
    """One worker's next seconds. Returns how many jobs of each tenant it ran."""
    served = Counter()
    for step in range(round(seconds / COST_S)):
        at = now + step * COST_S
        before_each(at)
        taken = scripts.take(at)
        if taken:
            served[taken[0].partition("-")[0]] += 1
            scripts.end(taken[0], taken[1], now=at + COST_S)
    return served


@pytest.mark.parametrize("given", [{"wanted_by": 0}, {"wanted_by": START, "items": 100_000}])
def test_a_due_date_gives_no_more_than_the_head_start_of_its_level(scripts, given):
    Sender(scripts, "flood", 1).send(700, START)
    serve(scripts, 20, START)
    Sender(scripts, "late", 1, **given).send(600, START + 20)
    served = serve(scripts, LEVEL_S, START + 20)
    assert served["late"] > served["flood"]
    served = serve(scripts, 20, START + 20 + LEVEL_S)
    assert served["flood"] >= 0.45 * served.total()


@pytest.mark.parametrize("since", [1.0, START + 20])
def test_a_job_after_the_other_that_waits_since_long_ago_gets_no_more_than_its_share(
    scripts, since
):
    """Such as the steps of a chain, or jobs of a client that sends old times."""
    Sender(scripts, "flood").send(1600, START)
    serve(scripts, 60, START)
    chain = Sender(scripts, "chain", enqueued_at=since)
    serve(scripts, 40, START + 60, chain.next_step)  # since START + 20, it may catch up for these
    served = serve(scripts, 40, START + 100, chain.next_step)
    assert served["flood"] >= 0.45 * served.total()


@pytest.mark.parametrize("level", [0, 2])
def test_urgent_jobs_one_after_the_other_end_no_others_share(scripts, level):
    head_start_s = (3 - level) * LEVEL_S
    Sender(scripts, "flood", 3).send(1600, START)
    serve(scripts, 10, START)
    urgent = Sender(scripts, "urgent", level)
    serve(scripts, head_start_s + 5, START + 10, urgent.next_step)
    served = serve(scripts, 60, START + 15 + head_start_s, urgent.next_step)
    assert served["flood"] >= 0.45 * served.total()


@pytest.mark.parametrize("weight", [0.001, 0.01])
def test_a_small_weight_that_was_served_alone_leaves_others_their_shares(scripts, weight):
    set_limits(scripts.client, "small", TenantLimits(weight), START)
    Sender(scripts, "small").send(500, START)
    Sender(scripts, "first").send(20, START)
    serve(scripts, 20, START)
    weights = {"a": 1, "b": 2, "c": 5}
    for name, each in weights.items():
        set_limits(scripts.client, name, TenantLimits(each), START)
        Sender(scripts, name).send(400, START + 20)
    served = serve(scripts, 40, START + 20)
    for name, each in weights.items():
        assert served[name] == pytest.approx(400 * each / 8, rel=0.05), served


@pytest.fixture
def queues(client):
    return [Scripts(client), Scripts(client, "infer@here:1.1:y", "infer")]


def starts(queues, seconds, now=START):
    found = []
    for step in range(round(seconds * 10)):
        at = now + step / 10
        for scripts in queues:
            while taken := scripts.take(at):
                found.append(step / 10)
                scripts.end(taken[0], taken[1], now=at)
    return found


def send_to_both(queues, tenant, count):
    for scripts in queues:
        for number in range(count):
            scripts.publish(f"{scripts.queue}{number}", 5, START, tenant=tenant, enqueued_at=START)


@pytest.mark.parametrize("tenant", ["a", "team/a"])
def test_a_rate_holds_for_all_queues_together(queues, tenant):
    limited = tenant.partition("/")[0]
    set_limits(queues[0].client, limited, TenantLimits(rate_per_s=2), START)
    send_to_both(queues, tenant, 20)
    assert starts(queues, 5) == [0.5 * number for number in range(10)]


@pytest.mark.parametrize("tenant", ["a", "team/a"])
def test_a_limit_of_running_jobs_holds_for_all_queues_together(queues, tenant):
    limited = tenant.partition("/")[0]
    set_limits(queues[0].client, limited, TenantLimits(max_running=1), START)
    send_to_both(queues, tenant, 2)
    first = queues[0].take(START)
    assert first
    assert queues[1].take(START) is None
    queues[0].end(first[0], first[1], now=START)
    assert queues[1].take(START)
    assert queues[0].take(START) is None


def test_a_rate_holds_from_the_time_it_is_set(scripts):
    """The next job of one that was far too low would be hours away."""
    set_limits(scripts.client, "a", TenantLimits(rate_per_s=0.001), START)
    Sender(scripts, "a").send(30, START)
    assert starts([scripts], 1) == [0]
    set_limits(scripts.client, "a", TenantLimits(rate_per_s=2), START + 1)
    assert starts([scripts], 2, START + 1) == [0.5, 1.0, 1.5]


def test_idle_workers_earn_a_tenant_no_burst(scripts):
    set_limits(scripts.client, "a", TenantLimits(rate_per_s=2), START)
    sender = Sender(scripts, "a")
    sender.send(1, START)
    starts([scripts], 1)
    sender.send(10, START + 30)
    assert starts([scripts], 2, START + 30) == [0, 0.5, 1.0, 1.5]


def test_no_count_of_images_makes_a_clock_that_redis_refuses(scripts):
    """With the least weight and the largest costs, a clock is millions of years ahead."""
    scripts.client.hset(keys.COSTS, "hsv", 3600)
    set_limits(scripts.client, "small", TenantLimits(0.001), START)
    for name in ("large", "other"):
        set_limits(scripts.client, name, TenantLimits(1000), START)
        Sender(scripts, name).send(1, START + 1)
    Sender(scripts, "small", items=1_000_000).send(1, START)
    taken = [scripts.take(START + 1)[0] for _ in range(3)]
    assert sorted(taken) == ["large-0", "other-0", "small-0"]
    assert scripts.client.pttl(keys.tenant("cv", "small")) > 0
