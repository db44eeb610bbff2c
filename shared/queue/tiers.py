"""Tenants that share a queue's workers, and members that share their team's part.

The tenants that go next are read one by one, and the others together, so that the cost does not
grow with their number.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from agewell.shared.protocol.fair_share import LEAST_REACTION_S, TAKES
from agewell.shared.protocol.tenants import team_of
from agewell.shared.protocol.waits import Rival
from agewell.shared.queue.costs import Costs
from agewell.shared.queue.order import SEQUENCE_DIGITS, id_of
from agewell.shared.queue.tenants import TenantLimits
from agewell.shared.redis import keys

NAMED = 50
"""How many tenants to read one by one."""


LATER = 4
"""Rank of a tenant's job that stands for those after the first."""


class Frontier(NamedTuple):
    """How fast the clocks of those who share a tier advance."""

    slots: float
    """Seconds of work that the workers do for them in one second."""
    weights: float
    """The sum of the weights of all who wait, with the tenant whose job is predicted."""
    earliest: float
    """The time that no clock of a served tenant stays behind."""
    mean_s: float
    """The mean run time of a job."""

    def advance(self, weight: float) -> float:
        """Return how far a clock of this weight advances for a second of work."""
        return max(1.0, self.weights / weight) / self.slots


def earliest_clock(now: float, slots: int, mean_s: float) -> float:
    """Return the time that no clock of a served tenant stays behind."""
    return now - max(LEAST_REACTION_S, TAKES * mean_s / slots)


@dataclass(frozen=True)
class Sharer:
    """A tenant with waiting jobs."""

    name: str
    key: float
    """Delayed virtual time of its next job. -inf for one that waits for its limits."""
    clock: float
    later_at: float
    """Virtual time of one of its further jobs."""
    later_head_start_s: float
    """1/k times the level of that one. The first may be more urgent than the others."""
    run_s: float
    waiting: int
    limits: TenantLimits
    rate: float
    """Seconds of work that come per second."""

    def rival(self, key: float, at: Frontier) -> Rival | None:
        """Return what it gets before a job with this delayed virtual time, or None for nothing."""
        if self.key >= key:
            return None
        most = self.limits.max_running or math.inf
        if self.limits.rate_per_s:
            most = min(most, self.limits.rate_per_s * self.run_s)
        is_paused = math.isinf(self.key)
        share_s = math.inf
        if not is_paused:
            advance = at.advance(self.limits.weight)
            clock = max(self.clock, at.earliest) + advance * self.run_s
            later = max(self.later_at, clock + self.later_head_start_s)
            share_s = self.run_s + max(0.0, key - later) / advance
        first_s = 0.0 if is_paused else self.run_s
        return Rival(share_s, self.waiting * self.run_s, self.rate, most, first_s)


@dataclass(frozen=True)
class Tier:
    """Those who share a queue, or a team's part of it."""

    weights: float
    """The sum of the weights of those that wait."""
    sharers: tuple[Sharer, ...] = ()
    others: int = 0
    """Tenants that are not among them."""
    others_waiting: int = 0
    others_key: float = math.inf

    def names(self, key: float) -> set[str]:
        """Return those who get something before a job with this delayed virtual time."""
        return {each.name for each in self.sharers if each.key < key}

    def rivals(self, key: float, at: Frontier, without: str | None) -> list[Rival]:
        """Return what each gets before a job with this delayed virtual time.

        Args:
            key: the delayed virtual time.
            at: how fast clocks advance.
            without: the job's own tenant.
        """
        found = [each.rival(key, at) for each in self.sharers if each.name != without]
        if self.others and self.others_key < key:
            weight = self.weights - sum(
                each.limits.weight for each in self.sharers if not math.isinf(each.key)
            )
            since = max(self.others_key, at.earliest)
            share_s = self.others * at.mean_s
            if weight > 0:
                share_s += max(0.0, key - since) / at.advance(weight)
            found.append(Rival(share_s, self.others_waiting * at.mean_s))
        return [each for each in found if each is not None]


EMPTY = Tier(0.0)


class _State(NamedTuple):
    """A tenant with waiting jobs, as Redis has it."""

    waiting: int
    limits: TenantLimits
    clock: float
    later_at: float


class TierReader:
    """Reads one tier, in four steps, each a part of a pipeline of many commands."""

    def __init__(self, queue: str, team: str | None) -> None:
        """Prepare to read the tenants of a queue, or with a team, its members."""
        self._queue, self._team = queue, team
        self._set = keys.candidates(queue) if team is None else keys.tenant_jobs(queue, team)
        self._paused: list[str] = []
        self._states: dict[str, _State] = {}
        self._candidates: list[tuple[bytes, float]] = []
        self._records: list[list[bytes | None]] = []
        self._size, self._middle = 0, math.inf

    def ask_candidates(self, pipe: Any) -> None:
        """Ask for the candidates that go first."""
        pipe.zrange(self._set, 0, NAMED - 1, withscores=True)
        pipe.zcard(self._set)

    def ask_records(self, pipe: Any, found: Iterator[Any]) -> None:
        """Read the candidates, and ask for their records and for the middle of the others."""
        self._candidates, self._size = next(found), next(found)
        for member, _ in self._candidates:
            pipe.hmget(keys.job(_id_of(member)), "tenant", "op", "items")
        rank = (len(self._candidates) + self._size) // 2
        pipe.zrange(self._set, rank, rank, withscores=True)

    def ask_tenants(self, pipe: Any, found: Iterator[Any], paused: Sequence[bytes]) -> None:
        """Read the records, and ask for the tenants' waiting jobs and limits.

        Args:
            pipe: the pipeline.
            found: the answers.
            paused: names of tenants that have reached their limits.
        """
        names = (each.decode() for each in paused)
        self._paused = [each for each in names if team_of(each) == self._team]
        self._records = [next(found) for _ in self._candidates]
        middle = next(found)
        self._middle = middle[0][1] if middle else math.inf
        for name in [*self._names(), *self._paused]:
            pipe.zscore(keys.tenants(self._queue), name)
            pipe.hget(keys.TENANT_LIMITS, name)
            pipe.hget(keys.tenant(self._queue, name), "clock")
            pipe.zrange(keys.tenant_jobs(self._queue, name), 0, LATER, withscores=True)

    def ask_levels(self, pipe: Any, found: Iterator[Any]) -> None:
        """Read the tenants, and ask for the levels of their further jobs."""
        for name in [*self._names(), *self._paused]:
            count, text, clock, places = (next(found) for _ in range(4))
            limits = TenantLimits() if text is None else TenantLimits.of_text(text.decode())
            place, later_at = places[-1] if places else (b"", math.inf)
            self._states[name] = _State(int(count or 0), limits, float(clock or 0), later_at)
            pipe.hget(keys.job(id_of(place)), "level")

    def tier(
        self,
        found: Iterator[Any],
        weights: float,
        waiting: int,
        costs: Costs,
        head_starts: Sequence[float],
        rates: dict[str, float],
    ) -> Tier:
        """Read the tenants, and return the tier.

        Args:
            found: the answers.
            weights: the sum of the weights of those that wait.
            waiting: waiting jobs of all of them.
            costs: of operations.
            head_starts: in seconds, by level.
            rates: seconds of work that come per second, by tenant.
        """
        mean_s = costs.mean_s or 0.0
        firsts = dict(zip(self._names(), self._firsts(costs), strict=True))
        sharers = []
        for name, state in self._states.items():
            key, run_s = firsts.get(name, (-math.inf, mean_s))
            sharers.append(
                Sharer(
                    name=name,
                    key=key,
                    clock=state.clock,
                    later_at=state.later_at,
                    later_head_start_s=head_starts[int(next(found) or 0)],
                    run_s=run_s,
                    waiting=state.waiting,
                    limits=state.limits,
                    rate=rates.get(name, 0.0),
                )
            )
        others = self._size - len(self._candidates)
        left = max(0, waiting - sum(each.waiting for each in sharers))
        return Tier(weights, tuple(sharers), others, left, self._middle)

    def _firsts(self, costs: Costs) -> Iterator[tuple[float, float]]:
        """Yield the delayed virtual time and the run time of each candidate."""
        for (_, key), (_, op, items) in zip(self._candidates, self._records, strict=True):
            yield key, costs.run_s(op, items)

    def _names(self) -> list[str]:
        """Return the tenants of the candidates: in a tier of the queue, the teams of members."""
        names = [(record[0] or b"").decode() for record in self._records]
        return names if self._team else [team_of(name) or name for name in names]


def _id_of(member: bytes) -> str:
    """Return the id of a candidate. In the queue's set its tenant's name comes before it."""
    _, newline, job_id = member.partition(b"\n")
    return (job_id if newline else member[SEQUENCE_DIGITS:]).decode()
