"""The order of tenants' jobs, whatever happens to them: against a model in plain Python."""

import itertools
import time
from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from agewell.shared.protocol.fair_share import UNKNOWN_COST_S, Pace, delayed
from agewell.shared.queue.tenants import TenantLimits, set_limits
from agewell.shared.redis import keys
from tests.support.ordering import Scripts

NAMES = (None, "a", "b", "c", "team", "team/x", "team/y")
K = 0.05

NUMBER = st.integers(0, 99)


def chosen(number, jobs):
    """One of some jobs. The choices of a run must not depend on how many there are."""
    ids = sorted(jobs)
    return ids[number % len(ids)]


@dataclass
class Waiting:
    """A job that waits."""

    job_id: str
    number: int
    tenant: str | None
    level: int
    since: float
    items: int

    @property
    def virtual(self) -> float:
        return self.since + self.level / K


@dataclass
class Tenant:
    """A tenant or team of the model."""

    limits: TenantLimits = field(default_factory=TenantLimits)
    clock: float = 0.0
    next_at: float = 0.0
    running: set[str] = field(default_factory=set)


class Tenants(RuleBasedStateMachine):
    """One queue, and a model that looks at every waiting job for each take."""

    client = None  # set by the test

    @initialize()
    def begin(self):
        self.client.flushall()
        self.scripts = Scripts(self.client)
        self.now = float(int(time.time()))  # keys of idle tenants expire by Redis's clock
        self.names, self.numbers = map(str, itertools.count()), itertools.count(1)
        self.waiting: dict[str, Waiting] = {}
        self.running: dict[str, tuple[Waiting, str]] = {}
        self.tenants = {name: Tenant() for name in NAMES if name}
        self.pace = Pace()

    def nodes(self, tenant):
        return [tenant] if "/" not in tenant else ["team", tenant]

    def candidate(self, name):
        """The candidate of a tenant or team: (score, number, job). None if it may have none."""
        own = [
            (job.virtual, job.number, job) for job in self.waiting.values() if job.tenant == name
        ]
        if name == "team":
            own += [each for each in map(self.candidate, ("team/x", "team/y")) if each]
        tenant = self.tenants[name]
        full = tenant.limits.max_running and len(tenant.running) >= tenant.limits.max_running
        late = tenant.limits.rate_per_s and tenant.next_at > self.now
        if not own or full or late:
            return None
        score, number, job = min(own, key=lambda each: each[:2])
        return max(score, delayed(job.virtual, job.since, tenant.clock)), number, job

    def next_job(self):
        tops = [self.candidate(name) for name in ("a", "b", "c", "team")]
        free = [(job.virtual, job.number, job) for job in self.waiting.values() if not job.tenant]
        found = [each for each in [*tops, *free] if each]
        return min(found, key=lambda each: each[:2])[2] if found else None

    @rule(
        tenant=st.sampled_from(NAMES),
        level=st.sampled_from([0, 5, 5, 9]),
        items=st.sampled_from([0, 1, 8]),
        count=st.integers(1, 4),
        ago=st.sampled_from([0.0, 0.25, 20.0]),
        plain=st.booleans(),
    )
    def send(self, tenant, level, items, count, ago, plain):
        for _ in range(count):
            job_id = next(self.names)
            given = {"enqueued_at": self.now - ago, "items": items, "tenant": tenant}
            if plain:
                self.scripts.push(job_id, level, **given)
                self.scripts.admit(self.now, K)
            else:
                self.scripts.publish(job_id, level, self.now, K, **given)
            number = next(self.numbers)
            self.waiting[job_id] = Waiting(job_id, number, tenant, level, self.now - ago, items)

    @rule(seconds=st.sampled_from([0.25, 1.0, 30.0]))
    def pass_time(self, seconds):
        self.now += seconds

    @rule(
        name=st.sampled_from(NAMES[1:]),
        weight=st.sampled_from([0.5, 1.0, 3.0]),
        max_running=st.sampled_from([0, 0, 1, 2]),
        rate_per_s=st.sampled_from([0.0, 0.0, 2.0]),
    )
    def limit(self, name, weight, max_running, rate_per_s):
        limits = TenantLimits(weight, max_running, rate_per_s)
        set_limits(self.client, name, limits, self.now)
        self.tenants[name].limits = limits

    @rule(count=st.integers(1, 5))
    def take(self, count):
        for _ in range(count):
            self.forget_idle()
            expected = self.next_job()
            found = self.scripts.take(self.now, K)
            assert (found and found[0]) == (expected and expected.job_id)
            if expected is None:
                return
            self.start(expected, found[1])

    def forget_idle(self):
        """Take over that the clock of an idle tenant has expired. It does by Redis's own clock."""
        for name, tenant in self.tenants.items():
            if self.client.hget(keys.tenant("cv", name), "clock") is None:
                tenant.clock = tenant.next_at = 0.0

    def start(self, job, tag):
        if job.tenant:
            self.advance(job)
        del self.waiting[job.job_id]
        self.running[job.job_id] = job, tag

    def advance(self, job):
        runs = len(self.running) + 1
        measured = self.client.hget(keys.COSTS, "hsv")  # an input of the law
        cost_s = float(measured or UNKNOWN_COST_S) * max(1, job.items)
        clocks = {}
        advance_s = 0.0
        for name in self.nodes(job.tenant):
            tenant = self.tenants[name]
            rivals = ("team/x", "team/y") if "/" in name else ("a", "b", "c", "team")
            weights = sum(
                self.tenants[each].limits.weight for each in rivals if self.candidate(each)
            )
            share = max(1.0, weights / tenant.limits.weight)
            if "/" in name:
                advance_s *= share
            else:
                charge = self.pace.charge(tenant.clock, job.since, cost_s, runs, self.now)
                advance_s = cost_s * share * charge.per_s
            clocks[name] = charge.advanced(tenant.clock, job.since, advance_s)
        for name, clock in clocks.items():
            tenant = self.tenants[name]
            tenant.clock = clock
            tenant.running.add(job.job_id)
            if tenant.limits.rate_per_s:
                tenant.next_at = max(tenant.next_at, self.now) + 1 / tenant.limits.rate_per_s

    def stop(self, job):
        for name in self.nodes(job.tenant) if job.tenant else ():
            self.tenants[name].running.discard(job.job_id)

    @precondition(lambda self: self.running)
    @rule(number=NUMBER, count=st.integers(1, 3))
    def end(self, number, count):
        for _ in range(min(count, len(self.running))):
            job, tag = self.running.pop(chosen(number, self.running))
            self.scripts.end(job.job_id, tag)
            self.stop(job)

    @precondition(lambda self: self.running)
    @rule(number=NUMBER)
    def give_back(self, number):
        job, tag = self.running.pop(chosen(number, self.running))
        self.scripts.give_back(tag, K, self.now)
        self.stop(job)
        self.waiting[job.job_id] = job

    @precondition(lambda self: self.waiting)
    @rule(number=NUMBER)
    def cancel(self, number):
        job_id = chosen(number, self.waiting)
        self.scripts.cancel(job_id)
        del self.waiting[job_id]

    @invariant()
    def most_running_jobs_are_never_exceeded(self):
        for name, tenant in self.tenants.items():
            found = {each.decode() for each in self.client.smembers(keys.tenant_running(name))}
            assert found == tenant.running

    def teardown(self):
        if not hasattr(self, "scripts"):
            return
        for job, tag in self.running.values():
            self.scripts.end(job.job_id, tag)
        for job_id in self.waiting:
            self.scripts.cancel(job_id)
        left = {key.decode() for key in self.client.scan_iter("agewell:*")}
        of_tenants = {each for each in left if "tenant" in each} - {keys.TENANT_LIMITS}
        assert [each for each in of_tenants if self.client.ttl(each) == -1] == []
        assert not left & {keys.candidates("cv"), keys.held("cv"), keys.paused_tenants("cv")}
        assert self.client.hget(keys.pace("cv"), "weights") is None


def test_tenants_jobs_are_taken_in_the_order_of_the_law(client):
    Tenants.client = client
    run_state_machine_as_test(
        Tenants,
        settings=settings(
            max_examples=25,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
