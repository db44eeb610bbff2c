"""Facts about a queue from which waits are predicted."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from agewell.shared.protocol.aging import AgingPolicy
from agewell.shared.protocol.levels import DEFAULT_LEVEL
from agewell.shared.queue.forecast.tiers import Tier
from agewell.shared.queue.tenants import TenantLimits


class Ask(NamedTuple):
    """A job whose wait is to be predicted."""

    level: int = DEFAULT_LEVEL
    tenant: str | None = None


class Situation(NamedTuple):
    """Facts about a queue that its status has read already."""

    queue: str
    policy: AgingPolicy
    now: float
    slots: int
    """Jobs that its workers run at the same time."""
    running: Sequence[str]
    """Ids of the jobs that run now."""


@dataclass(frozen=True)
class TenantFacts:
    """The tenant of a job, or its team."""

    clock: float
    next_at: float
    """When its rate allows the next job."""
    weight: float | None
    """Its part in the sum of weights. None if none of its jobs may go next."""
    members: float
    """The sum of the weights of its members that wait."""
    limits: TenantLimits
    running: int
    waiting: int
    is_team: bool
    """True if jobs of members wait."""

    @classmethod
    def of(cls, found: Iterator[Any]) -> "TenantFacts":
        """Read the answers to the questions about it."""
        clock, weight, members = (number(each) for each in next(found))
        next_at = number(next(found))
        text, running, waiting, own = (next(found) for _ in range(4))
        limits = TenantLimits() if text is None else TenantLimits.of_text(text.decode())
        waits = int(waiting or 0)
        return cls(clock, next_at, weight or None, members, limits, running, waits, waits != own)

    def limited_s(self, jobs: int, run_s: float, now: float) -> float:
        """Return how long its limits hold back a job behind so many others, in seconds."""
        held_s, most, rate_per_s = 0.0, self.limits.max_running, self.limits.rate_per_s
        if most and self.running + jobs >= most:
            held_s = (self.running + jobs + 1 - most) * run_s / most
        if rate_per_s:
            held_s = max(held_s, max(0.0, self.next_at - now) + jobs / rate_per_s)
        return held_s


def joined(weights: float, tenant: TenantFacts) -> tuple[float, float]:
    """Return the sum of weights with a tenant that has a job, and its own weight."""
    if tenant.weight is None:
        return weights + tenant.limits.weight, tenant.limits.weight
    return max(weights, tenant.weight), tenant.weight


class Own(NamedTuple):
    """Jobs of a job's own tenant that go before it."""

    jobs: int
    work_s: float
    run_s: float
    """The mean run time of one."""


NOTHING = Own(0, 0.0, 0.0)


@dataclass(frozen=True)
class Facts:
    """Facts about one queue."""

    mean_s: float | None
    """The mean run time of a job. None if none has been measured."""
    first_s: float
    """The work until the first of the running jobs ends, in seconds of one slot."""
    rates: Mapping[tuple[int, str | None], float]
    """Seconds of work that come per second, by level and tenant."""
    pushed: Sequence[int]
    """Messages of plain clients that are not in the order yet, by level."""
    due: int
    """Scheduled jobs that are due, and not in the order yet."""
    sampled: Sequence[tuple[int, float]]
    """Ranks in the order, and the run time of the jobs before each, since the one before it."""
    weights: float
    """The sum of the weights of the tenants that wait."""
    latest: float
    """The latest clock of a tenant that was served when it was due, in Unix seconds."""
    urgent_s: float
    """The head start of that tenant's job."""
    tiers: Mapping[str | None, Tier]
    """Those who share the queue, and those who share each team's part."""
    tenants: Mapping[str, TenantFacts]
    owns: Mapping[Ask, Own]

    def pushed_before(self, level: int) -> int:
        """Return how many jobs go before a new one of a level, and are not in the order yet."""
        return self.due + sum(self.pushed[: level + 1])


def number(text: bytes | None) -> float:
    """Return a number that a script has written, or 0."""
    return float(text or 0)
