"""Reads those who share a queue, or a team's part of it, in four steps.

The tenants that go next are read one by one, and the others together, so that the cost does not
grow with their number.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from agewell.shared.protocol.tenants import team_of
from agewell.shared.queue.forecast.costs import Costs
from agewell.shared.queue.forecast.tiers import Sharer, Tier
from agewell.shared.queue.order import SEQUENCE_DIGITS, id_of
from agewell.shared.queue.tenants import TenantLimits
from agewell.shared.redis import keys

NAMED = 32
"""How many tenants to read one by one."""

LATER = 4
"""Rank of a tenant's job that stands for those after the first."""


class _State(NamedTuple):
    """A tenant with waiting jobs, as Redis has it."""

    waiting: int
    limits: TenantLimits
    clock: float
    later_at: float
    between: tuple[float, float]


NO_PLACE = (b"", math.inf)


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
        known = [*self._names(), *self._paused]
        pipe.hmget(keys.TENANT_LIMITS, ["", *known])
        for name in known:
            pipe.zscore(keys.tenants(self._queue), name)
            pipe.hget(keys.tenant(self._queue, name), "clock")
            pipe.zrange(keys.tenant_jobs(self._queue, name), 0, LATER, withscores=True)
            pipe.zrange(keys.tenant_jobs(self._queue, name), -1, -1, withscores=True)

    def ask_levels(self, pipe: Any, found: Iterator[Any]) -> None:
        """Read the tenants, and ask for the levels of their further jobs."""
        _, *texts = next(found)
        for name, text in zip([*self._names(), *self._paused], texts, strict=True):
            count, clock, places, last = (next(found) for _ in range(4))
            limits = TenantLimits() if text is None else TenantLimits.of_text(text.decode())
            (_, first_at), *_, (place, later_at) = [*places, *places] or [NO_PLACE] * 2
            between = (first_at, last[0][1] if last else first_at)
            waiting = int(count or 0)
            self._states[name] = _State(waiting, limits, float(clock or 0), later_at, between)
            pipe.hget(keys.job(id_of(place)), "level")

    def tier(
        self,
        found: Iterator[Any],
        weights: float,
        waiting: int,
        costs: Costs,
        head_starts: Sequence[float],
        rates: Mapping[str, Sequence[tuple[float, float]]],
    ) -> Tier:
        """Read the tenants, and return the tier.

        Args:
            found: the answers.
            weights: the sum of the weights of those that wait.
            waiting: waiting jobs of all of them.
            costs: of operations.
            head_starts: in seconds, by level.
            rates: of each tenant, as `Sharer` has them. '' stands for tenants that are not named.
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
                    between=state.between,
                    limits=state.limits,
                    rates=tuple(rates.get(name, ())),
                )
            )
        others = self._size - len(self._candidates)
        left = max(0, waiting - sum(each.waiting for each in sharers))
        unread = [each for name, of in rates.items() if name not in self._states for each in of]
        return Tier(weights, tuple(sharers), others, left, self._middle, tuple(unread))

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
