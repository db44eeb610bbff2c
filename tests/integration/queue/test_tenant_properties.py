"""The order of tenants' jobs, whatever happens to them: the queue's is that of the simulator.

`tests/unit/simulate/test_fair_order.py` holds the simulator's order to a model that looks at every
waiting job.
"""

import itertools
import time
from collections import Counter
from dataclasses import dataclass

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from agewell.producer.simulate.fair_order import FairOrder
from agewell.producer.simulate.tenant_nodes import Waiting
from agewell.shared.protocol.aging import AgingPolicy
from agewell.shared.protocol.fair_share import UNKNOWN_COST_S
from agewell.shared.queue.tenants import TenantLimits, set_limits
from agewell.shared.redis import keys
from tests.support.ordering import Scripts

NAMES = (None, "a", "b", "c", "team", "team/x", "team/y")
K = 0.05

NUMBER = st.integers(0, 99)
"""Which rules may run, and what they draw, must not depend on Redis's clock: no preconditions."""


def chosen(number, jobs):
    """One of some jobs. The choices of a run must not depend on how many there are."""
    ids = sorted(jobs)
    return ids[number % len(ids)]


@dataclass(frozen=True)
class Job:
    """A job that was sent, and its place in the simulator's order."""

    job_id: str
    level: int
    items: int
    waits: Waiting


class Tenants(RuleBasedStateMachine):
    """One queue, and the simulator's order of the same jobs."""

    client = None  # set by the test

    @initialize()
    def begin(self):
        self.client.flushall()
        self.scripts = Scripts(self.client)
        self.now = float(int(time.time()))  # keys of idle tenants expire by Redis's clock
        self.names, self.numbers = map(str, itertools.count()), itertools.count(1)
        self.waiting: dict[int, Job] = {}
        self.running: dict[int, tuple[Job, str]] = {}
        self.retries: Counter[str] = Counter()
        self.order = FairOrder()

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
            since = self.now - ago
            virtual_time = AgingPolicy(K).virtual_time(since, level)
            job = Job(
                job_id, level, items, Waiting(virtual_time, next(self.numbers), since, tenant)
            )
            self.wait(job)

    def wait(self, job):
        self.waiting[job.waits.number] = job
        self.order.add(job.waits, self.now)

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
        self.order.limit(name, limits, self.now)

    @rule(count=st.integers(1, 5))
    def take(self, count):
        for _ in range(count):
            self.forget_idle()
            expected = self.order.first(self.now)
            job = expected and self.waiting[expected.number]
            measured = self.client.hget(keys.COSTS, "hsv")  # an input of the law
            found = self.scripts.take(self.now, K)
            assert (found and found[0]) == (job and job.job_id)
            if job is None:
                return
            self.order.start(
                expected, float(measured or UNKNOWN_COST_S) * max(1, job.items), self.now
            )
            del self.waiting[expected.number]
            self.running[expected.number] = job, found[1]

    def forget_idle(self):
        """Take over what has expired of idle tenants, by Redis's own clock."""
        for name in NAMES[1:]:
            if self.client.hget(keys.tenant("cv", name), "clock") is None:
                self.order.forget_clock(name, self.now)
            if not self.client.exists(keys.tenant_next(name)):
                self.order.forget_rate(name, self.now)

    @rule(number=NUMBER, count=st.integers(1, 3))
    def end(self, number, count):
        for _ in range(min(count, len(self.running))):
            job, tag = self.stop_one(number)
            self.scripts.end(job.job_id, tag, now=self.now)

    @rule(number=NUMBER, lost=st.booleans())
    def give_back(self, number, lost):
        if self.running:
            job, tag = self.stop_one(number, lost=lost)
            self.scripts.give_back(tag, K, self.now, lost_max=100 if lost else 0)
            self.wait(job)

    @rule(number=NUMBER)
    def retry(self, number):
        if self.running:
            job, tag = self.stop_one(number)
            self.retries[job.job_id] += 1
            again = {"retries": self.retries[job.job_id], "items": job.items}
            self.scripts.publish(job.job_id, job.level, self.now, K, **again)
            self.scripts.forget(tag)
            self.wait(job)

    def stop_one(self, number, *, lost=False):
        """A running job, which the simulator's order has no longer running."""
        job, tag = self.running.pop(chosen(number, self.running))
        self.forget_idle()
        self.order.release(job.waits, self.now, lost=lost)
        return job, tag

    @rule(number=NUMBER)
    def cancel(self, number):
        if not self.waiting:
            return
        job = self.waiting.pop(chosen(number, self.waiting))
        self.scripts.cancel(job.job_id)
        self.order.cancel(job.waits, self.now)

    @invariant()
    def most_running_jobs_are_never_exceeded(self):
        nodes = {name: {name, name.rpartition("/")[0]} for name in NAMES[1:]}
        for name in NAMES[1:]:
            found = {each.decode() for each in self.client.smembers(keys.tenant_running(name))}
            running = (job for job, _ in self.running.values() if job.waits.tenant)
            assert found == {job.job_id for job in running if name in nodes[job.waits.tenant]}

    def teardown(self):
        if not hasattr(self, "scripts"):
            return
        for job, tag in self.running.values():
            self.scripts.end(job.job_id, tag)
        for job in self.waiting.values():
            self.scripts.cancel(job.job_id)
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
