"""The order of tenants' jobs, held to a model that looks at every job, and to simple arithmetic."""

import itertools
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from agewell.producer.simulate.fair_order import FairOrder
from agewell.producer.simulate.tenant_nodes import Waiting
from agewell.shared.protocol.fair_share import Pace, delayed
from agewell.shared.queue.tenants import TenantLimits

MEMBERS = {"team": ("team/x", "team/y"), None: ("a", "b", "team")}
NAMES = (*MEMBERS[None], *MEMBERS["team"])


@dataclass
class Tenant:
    limits: TenantLimits = field(default_factory=TenantLimits)
    clock: float = 0.0
    next_at: float = 0.0
    running: int = 0


class Model:
    """The law, read from its page: for each question it looks at every waiting job."""

    def __init__(self):
        self.tenants = {name: Tenant() for name in NAMES}
        self.waiting, self.running, self.pace = [], [], Pace()
        self.charged = {}

    def candidate(self, name, now):
        tenant = self.tenants[name]
        found = [(job.virtual_time, job.number, job) for job in self.waiting if job.tenant == name]
        members = (self.candidate(each, now) for each in MEMBERS.get(name, ()))
        found += [each for each in members if each is not None]
        full = tenant.limits.max_running and tenant.running >= tenant.limits.max_running
        late = tenant.limits.rate_per_s and tenant.next_at > now
        if not found or full or late:
            return None
        key, number, job = min(found)
        return max(key, delayed(job.virtual_time, job.since, tenant.clock)), number, job

    def first(self, now):
        found = [self.candidate(name, now) for name in MEMBERS[None]]
        found += [(job.virtual_time, job.number, job) for job in self.waiting if not job.tenant]
        return min((each for each in found if each is not None), default=(None,))[-1]

    def start(self, job, cost_s, now):
        self.running.append(job)
        if job.tenant:
            team, slash, _ = job.tenant.partition("/")
            levels = [(None, team), (team, job.tenant)] if slash else [(None, job.tenant)]
            weights = {
                above: sum(
                    self.tenants[each].limits.weight
                    for each in MEMBERS[above]
                    if self.candidate(each, now) is not None
                )
                for above, _ in levels
            }
            clock = self.tenants[levels[0][1]].clock
            head_start_s = job.virtual_time - job.since
            running = len(self.running)
            charge = self.pace.charge(clock, job.since, head_start_s, cost_s, running, now)
            advance_s = cost_s * charge.per_s
            self.charged[job] = now, cost_s, {}
            for above, name in levels:
                tenant = self.tenants[name]
                advance_s *= max(1, weights[above] / tenant.limits.weight)
                tenant.clock = charge.advanced(tenant.clock, job.since, advance_s)
                self.charged[job][-1][name] = advance_s
                tenant.running += 1
                if tenant.limits.rate_per_s:
                    tenant.next_at = max(tenant.next_at, now) + 1 / tenant.limits.rate_per_s
        self.waiting.remove(job)

    def release(self, job, now, lost):
        """A job that ran twice as long as expected costs twice as much."""
        self.running.remove(job)
        if job.tenant:
            at, cost_s, advances = self.charged.pop(job)
            ran = (now - at) / cost_s
            for name, advance_s in advances.items():
                self.tenants[name].clock += (min(1, ran) if lost else ran) * advance_s - advance_s
        for name in {job.tenant, job.tenant and job.tenant.partition("/")[0]} - {None}:
            self.tenants[name].running -= 1


class Orders(RuleBasedStateMachine):
    """The same events for the order and for the model."""

    @initialize()
    def begin(self):
        self.order, self.model = FairOrder(), Model()
        self.now, self.numbers = 1000.0, itertools.count()

    @rule(
        tenant=st.sampled_from([None, *NAMES]),
        level_s=st.sampled_from([0.0, 10.0, 10.0]),
        ago=st.sampled_from([0.0, 0.0, 15.0]),
        count=st.integers(1, 4),
    )
    def add(self, tenant, level_s, ago, count):
        for _ in range(count):
            since = self.now - ago
            job = Waiting(since + level_s, next(self.numbers), since, tenant)
            self.model.waiting.append(job)
            self.order.add(job, self.now)

    @rule(
        name=st.sampled_from(NAMES),
        weight=st.sampled_from([0.5, 1.0, 3.0]),
        max_running=st.sampled_from([0, 0, 1, 2]),
        rate_per_s=st.sampled_from([0.0, 0.0, 2.0]),
    )
    def limit(self, name, weight, max_running, rate_per_s):
        limits = TenantLimits(weight, max_running, rate_per_s)
        tenant = self.model.tenants[name]
        tenant.limits = limits
        if rate_per_s:
            tenant.next_at = min(tenant.next_at, self.now + 1 / rate_per_s)
        self.order.limit(name, limits, self.now)

    @rule(seconds=st.sampled_from([0.25, 1.0, 30.0]))
    def pass_time(self, seconds):
        self.now += seconds

    @rule(count=st.integers(1, 5), cost_s=st.sampled_from([0.1, 2.0]))
    def start(self, count, cost_s):
        for _ in range(count):
            expected = self.model.first(self.now)
            assert self.order.first(self.now) == expected
            if expected is None:
                return
            self.model.start(expected, cost_s, self.now)
            self.order.start(expected, cost_s, self.now)

    @precondition(lambda self: self.model.running)
    @rule(number=st.integers(0, 99), waits_again=st.booleans(), lost=st.booleans())
    def release(self, number, waits_again, lost):
        job = self.model.running[number % len(self.model.running)]
        self.model.release(job, self.now, lost)
        self.order.release(job, self.now, lost=lost)
        if waits_again:
            self.model.waiting.append(job)
            self.order.add(job, self.now)

    @precondition(lambda self: self.model.waiting)
    @rule(number=st.integers(0, 99))
    def cancel(self, number):
        job = self.model.waiting[number % len(self.model.waiting)]
        self.model.waiting.remove(job)
        self.order.cancel(job, self.now)


def test_the_order_is_that_of_looking_at_every_job():
    run_state_machine_as_test(
        Orders, settings=settings(max_examples=150, stateful_step_count=40, deadline=None)
    )


NUMBERS = itertools.count()


def jobs_of(tenant, count, now=0.0):
    return [Waiting(now, next(NUMBERS), now, tenant) for _ in range(count)]


def started(order, count, service_s=1.0, now=0.0):
    """The tenants that one worker serves one after the other."""
    served = []
    for _ in range(count):
        job = order.first(now)
        order.start(job, service_s, now)
        now += service_s
        order.release(job, now)
        served.append(job.tenant)
    return served


@pytest.mark.parametrize(("weight", "share"), [(1, 1 / 2), (3, 3 / 4), (0.25, 1 / 5)])
def test_two_floods_are_served_by_their_weights(weight, share):
    order = FairOrder({"a": TenantLimits(weight)})
    for job in jobs_of("a", 1000) + jobs_of("b", 1000):
        order.add(job, 0.0)
    served = started(order, 1000)
    assert served.count("a") == pytest.approx(1000 * share, rel=0.01)


def test_without_tenants_the_order_is_that_of_virtual_times():
    order = FairOrder()
    times = [5.0, 1.0, 3.0, 1.0, 4.0]
    for number, at in enumerate(times):
        order.add(Waiting(at, number, 0.0, None), 0.0)
    found = []
    while (job := order.first(0.0)) is not None:
        order.start(job, 1.0, 0.0)
        found.append(job.number)
    assert found == sorted(range(5), key=lambda number: times[number])


def test_a_rate_is_looked_at_when_it_allows_the_next_job():
    order = FairOrder({"a": TenantLimits(rate_per_s=4)})
    for job in jobs_of("a", 3):
        order.add(job, 0.0)
    assert order.next_look_at() is None
    first = order.first(0.0)
    order.start(first, 1.0, 0.0)
    assert order.first(0.0) is None
    assert order.next_look_at() == 0.25
    assert order.first(0.25) is not None


def test_a_team_s_candidate_is_delayed_by_its_member_s_clock_too():
    order = FairOrder()
    first, second, other = [*jobs_of("team/x", 2), *jobs_of("team/y", 1)]
    for job in (first, second, other, *jobs_of("a", 3)):
        order.add(job, 0.0)
    # x had a share of a quarter when it was charged, and a has one of a half.
    assert started(order, 1) == ["team/x"]
    order.cancel(other, 1.0)
    assert started(order, 3, now=1.0) == ["a", "a", "team/x"]
