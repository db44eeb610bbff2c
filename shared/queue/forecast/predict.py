"""Predicts how long a job sent now would wait, by its level and tenant.

`docs/aging.md` explains the formula, and `shared/protocol/waits.py` solves it. This module reads
what goes into it, in five round trips at most, at a cost that does not grow with the backlog.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import redis

from agewell.shared.protocol.fair_share import TAKES
from agewell.shared.protocol.tenants import team_of
from agewell.shared.protocol.waits import Inflow, Rival, Work, wait_s
from agewell.shared.queue.forecast.costs import work_before
from agewell.shared.queue.forecast.facts import NOTHING, Ask, Facts, Situation, TenantFacts, joined
from agewell.shared.queue.forecast.read_facts import read_facts
from agewell.shared.queue.forecast.tiers import ClockFloor, Frontier
from agewell.shared.redis import keys

NO_WORKER = "no worker"
NOT_MEASURED = "not measured yet"
OVERTAKEN = "more urgent jobs keep all workers busy"

PASSES = 4
"""How often a wait and the jobs that come meanwhile are computed from each other."""


@dataclass(frozen=True)
class Forecast:
    """The predicted wait of a job that is sent now."""

    wait_s: float | None
    """Seconds until it starts. None if that cannot be told."""
    why: str = ""
    """Why not: `no worker`, `not measured yet`, or that more urgent jobs keep all workers busy."""


def forecasts(client: redis.Redis, at: Situation, asks: Sequence[Ask]) -> list[Forecast]:
    """Predict the waits of jobs.

    Args:
        client: Redis.
        at: the queue.
        asks: the jobs. Each is predicted as if it were the only one that is sent.
    """
    if at.slots < 1:
        return [Forecast(None, NO_WORKER) for _ in asks]
    facts = read_facts(client, at, asks)
    lines = [Line(at, facts, ask) for ask in asks]
    pipe: Any = client.pipeline(transaction=False)
    for line in lines:
        pipe.zcount(keys.order(at.queue), "-inf", line.place().key)
    counts = pipe.execute()
    return [line.forecast(count) for line, count in zip(lines, counts, strict=True)]


class Place(NamedTuple):
    """The place of a job among the jobs of other tenants."""

    key: float
    """Its delayed virtual time, when it is its tenant's next job."""
    works: Sequence[Work]
    """Work of others that depends on how long it waits."""
    limited_s: float
    """How long the limits of its tenant hold it back."""


class Line:
    """All that goes before one job."""

    def __init__(self, at: Situation, facts: Facts, ask: Ask) -> None:
        """Prepare to predict the wait of a job."""
        self._at, self._facts, self._ask = at, facts, ask
        self._mean_s = facts.mean_s or 0.0
        self._head_start_s = at.policy.head_start_s(ask.level)
        within_s = TAKES * self._mean_s / at.slots
        self._floor = ClockFloor.of(at.now, within_s, facts.latest, facts.urgent_s)
        self._own = facts.owns.get(ask, NOTHING)
        self._urgent = [
            Inflow(rate, self._head_start_s - at.policy.head_start_s(level))
            for (level, tenant), rate in facts.rates.items()
            if level < ask.level and tenant is not None and tenant == ask.tenant
        ]

    def forecast(self, count: int) -> Forecast:
        """Predict the wait.

        Args:
            count: jobs of the queue without a tenant that go before it now.
        """
        place, free = self.place(), self._at.slots - len(self._at.running)
        count += self._facts.pushed_before(self._ask.level)
        if free > count + self._waiting_before(place.key):
            return Forecast(place.limited_s)
        if not self._mean_s:
            return Forecast(None, NOT_MEASURED)
        first_s = self._facts.first_s - max(0, free) * self._mean_s
        ahead_s = work_before(count, self._facts.sampled, self._mean_s) + self._own.work_s + first_s
        found_s: float | None = 0.0
        for _ in range(PASSES):
            # More urgent jobs of its own tenant that come meanwhile delay it, too.
            urgent_s = sum(each.work_s(found_s or 0.0) for each in self._urgent)
            place = self.place(urgent_s)
            found_s = wait_s(self._at.slots, max(0.0, ahead_s), [*place.works, *self._urgent])
            if found_s is None:
                return Forecast(None, OVERTAKEN)
            if not self._urgent:
                break
        return Forecast(max(found_s or 0.0, place.limited_s))

    def place(self, urgent_s: float = 0.0) -> Place:
        """Return the place of the job.

        Args:
            urgent_s: work that its tenant will send and that goes before it, in seconds.
        """
        facts, at, name = self._facts, self._at, self._ask.tenant
        if name is None:
            key = at.now + self._head_start_s
            return Place(key, self._rivals(key, None, facts.weights, set()), 0.0)
        own, team = self._own, team_of(name)
        top = facts.tenants[team or name]
        weights, weight = joined(facts.weights, top)
        key, jobs, work_s, limited_s = 0.0, own.jobs, own.work_s + urgent_s, 0.0
        mates: list[Rival] = []
        named: set[str] = {name}
        if team:
            member = facts.tenants[name]
            weights_within, weight_within = joined(top.members, member)
            within = self._frontier(at.slots * weight / weights, weights_within)
            key = self._delayed(member, work_s, within.advance(weight_within))
            tier = facts.tiers[team]
            mates, named = tier.rivals(key, within, name), named | tier.names(key)
            limited_s = member.limited_s(jobs, own.run_s, at.now)
            others_s = sum(each.work_s(0.0) for each in mates)
            work_s += others_s
            jobs += round(others_s / self._mean_s) if self._mean_s else 0
        advance = self._frontier(at.slots, weights).advance(weight)
        key = max(key, self._delayed(top, work_s, advance))
        limited_s = max(limited_s, top.limited_s(jobs, own.run_s, at.now))
        return Place(key, [*mates, *self._rivals(key, team or name, weights, named)], limited_s)

    def _delayed(self, tenant: TenantFacts, work_s: float, advance: float) -> float:
        """Return the delayed virtual time of the job after so much work of its tenant."""
        clock = tenant.clock
        if work_s > 0:
            clock = max(clock, self._floor.at(self._head_start_s))
        lead_s = max(0.0, clock + work_s * advance - self._at.now)
        return self._at.now + self._head_start_s + lead_s

    def _frontier(self, slots: float, weights: float) -> Frontier:
        return Frontier(slots, weights or 1.0, self._floor, self._at.now, self._mean_s)

    def _rivals(self, key: float, own: str | None, weights: float, named: set[str]) -> list[Work]:
        """Return the work of other tenants, and of jobs that will come.

        Args:
            key: the delayed virtual time of the job.
            own: its tenant or team.
            weights: the sum of the weights, with that of its own.
            named: tenants whose jobs have been counted, and its own.
        """
        tier, at = self._facts.tiers[None], self._at
        works: list[Work] = list(tier.rivals(key, self._frontier(at.slots, weights), own))
        rivals = named | (tier.names(key) - {own})
        for (level, tenant), rate in self._facts.rates.items():
            until_s = key - at.now - at.policy.head_start_s(level)
            if until_s > 0 and not self._is_counted(tenant, own, rivals, key):
                works.append(Inflow(rate, until_s))
        return works

    def _is_counted(
        self, tenant: str | None, own: str | None, rivals: set[str], key: float
    ) -> bool:
        """Return True if jobs of a tenant that will come are part of the work of the rivals."""
        if tenant is None:
            return False
        top = team_of(tenant) or tenant
        is_other = top != own and self._facts.tiers[None].others_go_before(key)
        return is_other or not rivals.isdisjoint({tenant, top})

    def _waiting_before(self, key: float) -> int:
        """Return how many jobs of tenants may go before the job, without those at their limits."""
        waiting = {
            each.name: each.waiting
            for each in self._facts.tiers[None].sharers
            if not math.isinf(each.key) and each.key < key
        }
        return max(sum(waiting.values()), self._own.jobs)
