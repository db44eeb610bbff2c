"""Predicts how long a job sent now would wait, by its level and tenant.

`docs/aging.md` explains the formula, and `shared/protocol/waits.py` solves it. This module reads
what goes into it, in five round trips at most, at a cost that does not grow with the backlog.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import redis

from agewell.shared.protocol.aging import AgingPolicy
from agewell.shared.protocol.tenants import team_of
from agewell.shared.protocol.waits import Inflow, Work, first_free_s, wait_s
from agewell.shared.queue.costs import work_before
from agewell.shared.queue.facts import NOTHING, Ask, Facts, TenantFacts, joined, read_facts
from agewell.shared.queue.tiers import Frontier, earliest_clock
from agewell.shared.redis import keys

NO_WORKER = "no worker"
NOT_MEASURED = "not measured yet"
OVERTAKEN = "more urgent jobs keep all workers busy"


@dataclass(frozen=True)
class Forecast:
    """The predicted wait of a job that is sent now."""

    wait_s: float | None
    """Seconds until it starts. None if that cannot be told."""
    why: str = ""
    """Why not: `no worker`, `not measured yet`, or that more urgent jobs keep all workers busy."""


class Situation(NamedTuple):
    """Facts about a queue that its status has read already."""

    queue: str
    policy: AgingPolicy
    now: float
    slots: int
    """Jobs that its workers run at the same time."""
    running: int
    """Jobs that run now."""


def forecasts(client: redis.Redis, at: Situation, asks: Sequence[Ask]) -> list[Forecast]:
    """Predict the waits of jobs.

    Args:
        client: Redis.
        at: the queue.
        asks: the jobs. Each is predicted as if it were the only one that is sent.
    """
    if at.slots < 1:
        return [Forecast(None, NO_WORKER) for _ in asks]
    facts = read_facts(client, at.queue, at.policy, at.now, asks)
    lines = [Line(at, facts, ask) for ask in asks]
    pipe: Any = client.pipeline(transaction=False)
    for line in lines:
        pipe.zcount(keys.order(at.queue), "-inf", line.key)
    counts = pipe.execute()
    return [line.forecast(count) for line, count in zip(lines, counts, strict=True)]


class Line:
    """All that goes before one job."""

    def __init__(self, at: Situation, facts: Facts, ask: Ask) -> None:
        """Find the place of the job in the order."""
        self._at, self._facts, self._ask = at, facts, ask
        self._mean_s = facts.mean_s
        self._head_start_s = at.policy.head_start_s(ask.level)
        self._works: list[Work] = []
        self._earliest = earliest_clock(at.now, at.slots, self._mean_s or 0.0)
        self._own = facts.owns.get(ask, NOTHING)
        self._limited_s = 0.0
        self.key = at.now + self._head_start_s
        """Its delayed virtual time, when it is its tenant's next job."""
        if ask.tenant is not None:
            self._join_tenant(ask.tenant)
        else:
            self._meet_rivals(None, facts.weights)

    def _join_tenant(self, name: str) -> None:
        facts, own, team = self._facts, self._own, team_of(name)
        top = facts.tenants[team or name]
        weights, weight = joined(facts.weights, top)
        advance = self._frontier(self._at.slots, weights).advance(weight)
        jobs, work_s = own.jobs, own.work_s
        if team:
            member = facts.tenants[name]
            weights_within, weight_within = joined(top.members, member)
            within = self._frontier(self._at.slots * weight / weights, weights_within)
            self.key = self._delayed(member, work_s, within.advance(weight_within))
            rivals = facts.tiers[team].rivals(self.key, within, name)
            self._works += rivals
            self._limited_s = member.limited_s(jobs, own.run_s, self._at.now)
            others_s = sum(each.work_s(0.0) for each in rivals)
            work_s += others_s
            jobs += round(others_s / self._mean_s) if self._mean_s else 0
        self.key = max(self.key, self._delayed(top, work_s, advance))
        held_s = top.limited_s(jobs, own.run_s, self._at.now)
        self._limited_s = max(self._limited_s, held_s)
        self._meet_rivals(team or name, weights)

    def _delayed(self, tenant: TenantFacts, work_s: float, advance: float) -> float:
        """Return the delayed virtual time of the job after so much work of its tenant."""
        clock = max(tenant.clock, self._earliest) if work_s > 0 else tenant.clock
        lead_s = max(0.0, clock + work_s * advance - self._at.now)
        return self._at.now + self._head_start_s + lead_s

    def _frontier(self, slots: float, weights: float) -> Frontier:
        return Frontier(slots, weights, self._earliest, self._mean_s or 0.0)

    def _meet_rivals(self, own: str | None, weights: float) -> None:
        """Add the work of other tenants, and of jobs that will come."""
        tier, ask, at = self._facts.tiers[None], self._ask, self._at
        self._works += tier.rivals(self.key, self._frontier(at.slots, weights or 1.0), own)
        rivals = tier.names(self.key) - {own}
        for (level, tenant), rate in self._facts.rates.items():
            if tenant is not None and (team_of(tenant) or tenant) in rivals:
                continue  # a rival's rate
            after = self._head_start_s + at.now if tenant and tenant == ask.tenant else self.key
            until_s = after - at.now - at.policy.head_start_s(level)
            if until_s > 0:
                self._works.append(Inflow(rate, until_s))

    def forecast(self, count: int) -> Forecast:
        """Predict the wait.

        Args:
            count: jobs of the queue without a tenant that go before it now.
        """
        at, facts, mean_s = self._at, self._facts, self._mean_s
        count += facts.pushed_before(self._ask.level)
        free = at.slots - at.running
        tenants = sum(
            each.waiting
            for each in facts.tiers[None].sharers
            if not math.isinf(each.key) and each.key < self.key
        )
        if free > count + tenants + (self._own.jobs if self._own.jobs > tenants else 0):
            return Forecast(self._limited_s)
        if mean_s is None:
            return Forecast(None, NOT_MEASURED)
        ahead_s = work_before(count, facts.sampled, mean_s) + self._own.work_s
        first_s = first_free_s(at.slots, mean_s) - max(0, free) * mean_s
        found_s = wait_s(at.slots, max(0.0, ahead_s + first_s), self._works)
        if found_s is None:
            return Forecast(None, OVERTAKEN)
        return Forecast(max(found_s, self._limited_s))
