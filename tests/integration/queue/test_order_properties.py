"""The order of jobs, whatever happens to them: against a sorted list in plain Python.

Every step checks the whole order, so the regret of each take is 0.
"""

import itertools
from datetime import UTC, datetime
from fractions import Fraction

import pytest
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

from agewell.shared.protocol.levels import LEVELS
from tests.support.ordering import START, Job, Scripts, in_order, virtual_time

MOST_ADMITTED = 8
"""Due jobs, and messages of plain clients, that one take admits."""

LEVEL = st.sampled_from(LEVELS) | st.sampled_from([0, 9])
QUARTERS = st.integers(0, 400).map(lambda number: number / 4)
"""Seconds that a double adds to a Unix time exactly."""

MAYBE = st.none() | QUARTERS
RARELY = st.none() | st.none() | st.none() | QUARTERS
LIMIT = st.sampled_from([None, None, None, 0.0, 0.25, 1.0, 20.0])
AHEAD = st.sampled_from([-0.25, -1.0, -1.25, -1000.0])
"""Seconds before now, as a clock that is ahead has it."""

AGO = st.sampled_from([0.0, 0.0, 0.25, 20.0]) | QUARTERS
K = st.sampled_from(["0", "0.05", "0.25", "1", "3", "0.37", "100"])
HOSTILE_TIMES = st.sampled_from(
    [-1e13, 1e13, float("nan"), float("inf"), "soon", [], True, 10**400]
)


class Order(RuleBasedStateMachine):
    """One queue, and the oracle's model of it."""

    client = None  # set by the test

    @initialize(k=K)
    def begin(self, k):
        self.client.flushall()
        self.scripts = Scripts(self.client)
        self.k, self.now = Fraction(k), START
        self.default_k = float(k)
        self.names = map(str, itertools.count())
        self.numbers = itertools.count()
        self.waiting, self.scheduled, self.running = {}, {}, {}
        self.inlets = [[] for _ in LEVELS]
        self.ended = set()

    def enter(self, job):
        """A job comes to its queue now."""
        job.number = next(self.numbers)
        is_due = job.due_at is None or job.due_at <= self.now
        (self.waiting if is_due else self.scheduled)[job.job_id] = job

    def admit_due(self, most=None):
        due = sorted((job.due_at, job.number, job) for job in self.scheduled.values())
        for due_at, _, job in due[:most]:
            if due_at <= self.now:
                self.waiting[job.job_id] = self.scheduled.pop(job.job_id)

    def admit_messages(self, most=None):
        for job in list(itertools.chain(*self.inlets))[:most]:
            self.inlets[job.level].remove(job)
            if job.since is None or job.since > self.now + 1:
                job.since = Fraction(self.now)
            if job.due_at is not None:
                job.since = max(job.since, job.due_at)
            self.enter(job)

    @rule(seconds=st.sampled_from([0.25, 1.0, 7.25, 20.0, 100.0]))
    def let_pass(self, seconds):
        self.now += seconds

    @rule(jobs=st.lists(st.tuples(LEVEL, AGO, RARELY, LIMIT), min_size=3, max_size=12))
    def publish(self, jobs):
        """Publish through our app. Steps of a chain have the time of the first one."""
        for level, ago, later, limit in jobs:
            job_id = next(self.names)
            due_at = None if later is None else self.now + later
            deadline_at = None if limit is None else self.now + limit
            headers = {"enqueued_at": self.now - ago, "deadline_at": deadline_at}
            headers["eta"] = _iso(due_at)
            answer = self.scripts.publish(job_id, level, self.now, self.default_k, **headers)
            assert answer == "entered"
            since = self.now - ago if due_at is None else max(self.now - ago, due_at)
            times = {"due_at": _exact(due_at), "deadline_at": _exact(deadline_at)}
            self.enter(Job(job_id, level, Fraction(since), **times))

    @rule(
        jobs=st.lists(
            st.tuples(LEVEL, RARELY | AHEAD | HOSTILE_TIMES, RARELY), min_size=1, max_size=12
        )
    )
    def push(self, jobs):
        """A plain client's, with no time, one of its own, or one that is none."""
        for level, at, later in jobs:
            job_id = next(self.names)
            is_time = isinstance(at, float) and abs(at) < 1e9
            stamp = self.now - at if is_time else at
            due_at = None if later is None else self.now + later
            self.scripts.push(job_id, level, enqueued_at=stamp, eta=_iso(due_at))
            since = Fraction(stamp) if is_time else None
            self.inlets[level].append(Job(job_id, level, since, due_at=_exact(due_at)))

    @rule(data=st.data())
    @precondition(lambda self: self.waiting or self.running or self.ended)
    def send_again(self, data):
        """A message that was sent before changes nothing."""
        known = [*self.waiting, *self.scheduled, *self.running, *sorted(self.ended)]
        job_id = data.draw(st.sampled_from(known))
        answer = self.scripts.publish(job_id, 0, self.now, self.default_k, enqueued_at=0.0)
        assert answer == ("ended" if job_id in self.ended else "known")

    @rule()
    def admit(self):
        self.scripts.admit(self.now, self.default_k)
        self.admit_due()
        self.admit_messages()
        self.admit_due()

    @rule()
    def take(self):
        self.admit_due(MOST_ADMITTED)
        self.admit_messages(MOST_ADMITTED)
        found = self.scripts.take(self.now, self.default_k)
        expected = in_order(self.waiting.values(), self.k)
        if not expected:
            assert found is None
            return
        job = self.waiting.pop(expected[0].job_id)
        job_id, job.tag, taken = found
        assert job_id == job.job_id
        assert taken.since == float(job.since)
        is_late = job.deadline_at is not None and job.deadline_at < self.now
        if is_late and not job.has_started:
            assert taken.flag == "expired"
            assert self.scripts.end(job_id, job.tag)
            self.ended.add(job_id)
        else:
            assert taken.flag == ""
            job.has_started = True
            self.running[job_id] = job

    @rule(data=st.data())
    @precondition(lambda self: self.running)
    def end(self, data):
        job = self.running.pop(data.draw(st.sampled_from(list(self.running))))
        assert self.scripts.end(job.job_id, job.tag)
        self.ended.add(job.job_id)

    @rule(data=st.data())
    @precondition(lambda self: self.running)
    def give_back(self, data):
        job = self.running.pop(data.draw(st.sampled_from(list(self.running))))
        assert self.scripts.give_back(job.tag, self.default_k)
        self.waiting[job.job_id] = job

    @rule(data=st.data(), later=MAYBE)
    @precondition(lambda self: self.running)
    def retry(self, data, later):
        """It keeps the place of the first."""
        job = self.running.pop(data.draw(st.sampled_from(list(self.running))))
        job.retries += 1
        due_at = None if later is None else self.now + later
        headers = {"enqueued_at": float(job.since), "retries": job.retries, "eta": _iso(due_at)}
        answer = self.scripts.publish(job.job_id, job.level, self.now, self.default_k, **headers)
        assert answer == "entered"
        self.scripts.forget(job.tag)
        job.due_at = _exact(due_at)
        is_due = due_at is None or due_at <= self.now
        (self.waiting if is_due else self.scheduled)[job.job_id] = job

    @rule(data=st.data())
    @precondition(lambda self: self.waiting or self.scheduled)
    def cancel(self, data):
        job_id = data.draw(st.sampled_from([*self.waiting, *self.scheduled]))
        assert self.scripts.cancel(job_id)
        self.waiting.pop(job_id, None)
        self.scheduled.pop(job_id, None)
        self.ended.add(job_id)

    @rule()
    def expire(self):
        self.scripts.expire(self.now)
        for jobs in (self.waiting, self.scheduled):
            for job in list(jobs.values()):
                is_late = job.deadline_at is not None and job.deadline_at <= self.now
                if is_late and not job.has_started:
                    del jobs[job.job_id]
                    self.ended.add(job.job_id)

    @rule(k=K)
    def change_k(self, k):
        """It holds for jobs that wait already."""
        self.scripts.change_k(float(k), self.now)
        self.k = Fraction(k)

    @invariant()
    def order_is_the_oracles(self):
        if hasattr(self, "scripts"):
            jobs = in_order(self.waiting.values(), self.k)
            assert self.scripts.waiting() == [job.job_id for job in jobs]
            times = [float(virtual_time(job, self.k)) for job in jobs]
            assert self.scripts.virtual_times() == pytest.approx(times, abs=2e-5, rel=0)
            assert sorted(self.scripts.scheduled()) == sorted(self.scheduled)

    def teardown(self):
        """Nothing is lost, and nothing comes twice."""
        if hasattr(self, "scripts"):
            self.admit()
            self.order_is_the_oracles()
            while self.waiting:
                self.take()


def _exact(at):
    return None if at is None else Fraction(at)


def _iso(at):
    """As Celery writes an eta."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat()


def test_order_is_always_that_of_weights(client):
    Order.client = client
    run_state_machine_as_test(
        Order,
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("k", [0.0, 1e-10])
def test_levels_are_strict_without_aging(client, k):
    scripts = Scripts(client)
    scripts.publish("old bulk", 1, START, k, enqueued_at=0.0)
    scripts.publish("new", 0, START, k, enqueued_at=START)
    assert scripts.waiting() == ["new", "old bulk"]


def test_large_k_is_first_come_first_served(client):
    scripts = Scripts(client)
    for number, level in enumerate([9, 0, 5, 9, 0]):
        scripts.publish(str(number), level, START, 1e9, enqueued_at=START + number / 4)
    assert scripts.waiting() == ["0", "1", "2", "3", "4"]
