"""Reads from Redis what predictions of waits need, in four round trips."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import redis

from agewell.shared.protocol.levels import LEVELS
from agewell.shared.protocol.tenants import team_of
from agewell.shared.protocol.waits import first_free_s
from agewell.shared.queue.forecast.costs import Costs, Sampled, spread
from agewell.shared.queue.forecast.facts import Ask, Facts, Own, Situation, TenantFacts, number
from agewell.shared.queue.forecast.load import QueueLoad
from agewell.shared.queue.forecast.tier_reader import TierReader
from agewell.shared.queue.order import id_of
from agewell.shared.redis import keys

MOST_RUNNING = 32
"""How many running jobs to look at."""

MOST_PAUSED = 50
"""How many tenants at their limits to read."""

SAMPLES = 48
"""About how many waiting jobs of a queue to look at, and how many of all asked tenants together."""

LEAST_OWN_SAMPLES, MOST_OWN_SAMPLES = 2, 16
"""How many of each tenant."""


def read_facts(client: redis.Redis, at: Situation, asks: Sequence[Ask]) -> Facts:
    """Read the facts about a queue for some predictions."""
    return _Reading(client, at, asks).facts()


class _Reading:
    """The steps of reading. Each is one pipeline, which needs the answers of the one before."""

    def __init__(self, client: redis.Redis, at: Situation, asks: Sequence[Ask]) -> None:
        self._client, self._queue, self._now = client, at.queue, at.now
        self._slots, self._running = at.slots, at.running[:MOST_RUNNING]
        self._head_starts = [at.policy.head_start_s(level) for level in LEVELS]
        self._levels = sorted({each.level for each in asks})
        self._asks = [each for each in asks if each.tenant is not None]
        names = [each.tenant or "" for each in self._asks]
        teams = dict.fromkeys(team for each in names if (team := team_of(each)))
        self._names = list(dict.fromkeys([*names, *teams]))
        self._readers = {each: TierReader(at.queue, each) for each in (None, *teams)}

    def facts(self) -> Facts:
        """Read all."""
        pipe = self._pipeline()
        self._ask_queue(pipe)
        for name in self._names:
            self._ask_tenant(pipe, name)
        for ask in self._asks:
            upto = self._now + self._head_starts[ask.level]
            pipe.zcount(keys.tenant_jobs(self._queue, ask.tenant or ""), "-inf", upto)
        for reader in self._readers.values():
            reader.ask_candidates(pipe)
        found = iter(pipe.execute())
        common = _Common.of(found, len(self._levels))
        first_s = self._first_s([next(found) for _ in self._running], common.costs)
        tenants = {name: TenantFacts.of(found) for name in self._names}
        jobs = {ask: _own_jobs(tenants[ask.tenant or ""], next(found)) for ask in self._asks}
        sampled, found = self._sample(found, common, jobs)
        rates = common.costs.work_rates(self._now)
        tiers = {
            team: reader.tier(
                found,
                common.pace[0] if team is None else tenants[team].members,
                common.held if team is None else tenants[team].waiting,
                common.costs,
                self._head_starts,
                _by_sharer(rates, team, self._head_starts),
            )
            for team, reader in self._readers.items()
        }
        mean_s = common.costs.mean_s
        owns = {ask: _own(count, sampled[ask], mean_s or 0.0) for ask, count in jobs.items()}
        return Facts(
            mean_s, first_s, rates, common.pushed, common.due, sampled[None], *common.pace, tiers,
            tenants, owns,
        )  # fmt: skip

    def _first_s(self, running: Sequence[Sequence[bytes | None]], costs: Costs) -> float:
        """Return the work until the first of the running jobs ends, in seconds of one slot."""
        left_s = [
            costs.run_s(op, items) - max(0.0, self._now - number(started_at))
            for started_at, op, items in running
        ]
        return first_free_s(self._slots, costs.mean_s or 0.0, left_s, costs.load.variation)

    def _pipeline(self) -> Any:
        return self._client.pipeline(transaction=False)

    def _ask_queue(self, pipe: Any) -> None:
        queue = self._queue
        pipe.get(keys.load(queue))
        pipe.hgetall(keys.COSTS)
        for level in self._levels:
            pipe.zcount(keys.order(queue), "-inf", self._now + self._head_starts[level])
        pipe.zcard(keys.order(queue))
        pipe.zcard(keys.held(queue))
        pipe.zcount(keys.scheduled(queue), "-inf", self._now)
        for inlet in keys.inlets(queue):
            pipe.llen(inlet)
        pipe.hmget(keys.pace(queue), "weights", "latest", "head_start_s")
        pipe.zrange(keys.paused_tenants(queue), 0, MOST_PAUSED - 1)
        for job_id in self._running:
            pipe.hmget(keys.job(job_id), "started_at", "op", "items")

    def _ask_tenant(self, pipe: Any, name: str) -> None:
        pipe.hmget(keys.tenant(self._queue, name), "clock", "weight", "weights")
        pipe.get(keys.tenant_next(name))
        pipe.hget(keys.TENANT_LIMITS, name)
        pipe.scard(keys.tenant_running(name))
        pipe.zscore(keys.tenants(self._queue), name)
        pipe.zcard(keys.tenant_jobs(self._queue, name))

    def _sample(
        self, found: Iterator[Any], common: "_Common", jobs: Mapping[Ask, int]
    ) -> tuple[dict[Ask | None, list[tuple[int, float]]], Iterator[Any]]:
        """Look at some waiting jobs. Returns their ranks and run times, and what tiers need."""
        # All jobs of the order count only if the tenant of an asked job delays it.
        bounds = common.bounds if jobs else common.bounds[:-1]
        wanted: dict[Ask | None, list[Sampled]] = {None: spread(bounds, SAMPLES)}
        own = max(LEAST_OWN_SAMPLES, min(MOST_OWN_SAMPLES, SAMPLES // max(1, len(jobs))))
        wanted |= {ask: spread([count], own) for ask, count in jobs.items()}
        pipe = self._pipeline()
        for reader in self._readers.values():
            reader.ask_records(pipe, found)
        for ask, each in wanted.items():
            places = keys.order if ask is None else partial(_jobs_of, ask.tenant)
            for rank, _ in each:
                pipe.zrange(places(self._queue), rank, rank)
        found = iter(pipe.execute())
        pipe = self._pipeline()
        for reader in self._readers.values():
            reader.ask_tenants(pipe, found, common.paused)
        looked = {
            ask: [(upto, place) for _, upto in each for place in next(found)]
            for ask, each in wanted.items()
        }
        records = self._pipeline()
        for places_of in looked.values():
            for _, place in places_of:
                records.hmget(keys.job(id_of(place)), "op", "items")
        answers = iter(pipe.execute())
        for reader in self._readers.values():
            reader.ask_levels(records, answers)
        read = iter(records.execute())
        sampled = {
            ask: [(upto, common.costs.run_s(*next(read))) for upto, _ in places_of]
            for ask, places_of in looked.items()
        }
        return sampled, read


@dataclass(frozen=True)
class _Common:
    """The answers to `_ask_queue`."""

    costs: Costs
    bounds: list[int]
    """How many jobs go before one of each level, and how many there are."""
    held: int
    due: int
    pushed: list[int]
    pace: tuple[float, float, float]
    """The sum of the weights, the latest clock, and the head start of its tenant's job."""
    paused: list[bytes]

    @classmethod
    def of(cls, found: Iterator[Any], levels: int) -> "_Common":
        load = QueueLoad.of_text(next(found))
        costs = Costs(next(found), load)
        bounds = [next(found) for _ in range(levels + 1)]
        held, due = next(found), next(found)
        pushed = [next(found) for _ in LEVELS]
        weights, latest, urgent_s = map(number, next(found))
        pace = (weights, latest, urgent_s)
        return cls(costs, bounds, held, due, pushed, pace, next(found))


def _jobs_of(tenant: str | None, queue: str) -> str:
    return keys.tenant_jobs(queue, tenant or "")


def _own_jobs(tenant: TenantFacts, counted: int) -> int:
    """Return how many of its tenant's jobs go before a job. Those of a team count all."""
    return tenant.waiting if tenant.is_team else counted


def _own(count: int, sampled: Sequence[tuple[int, float]], mean_s: float) -> Own:
    run_s = math.fsum(each for _, each in sampled) / len(sampled) if sampled else mean_s
    return Own(count, count * run_s, run_s)


def _by_sharer(
    rates: Mapping[tuple[int, str | None], float], team: str | None, head_starts: Sequence[float]
) -> dict[str, list[tuple[float, float]]]:
    """Group the rates by the tenants of a queue, with their members, or by a team's members."""
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for (level, tenant), rate in rates.items():
        if tenant is not None and team is None:
            found[team_of(tenant) or tenant].append((head_starts[level], rate))
        elif tenant and team_of(tenant) == team:
            found[tenant].append((head_starts[level], rate))
    return found
