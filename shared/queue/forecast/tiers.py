"""Tenants that share a queue's workers, and members that share their team's part.

The tenants that go next are read one by one, and the others together, so that the cost does not
grow with their number.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from agewell.shared.protocol.fair_share import LATE, LEAST_REACTION_S
from agewell.shared.protocol.waits import Rival
from agewell.shared.queue.tenants import TenantLimits


class ClockFloor(NamedTuple):
    """The times that no clocks of served tenants stay behind, as in `Pace.charge`."""

    earliest: float
    """For the tenants with the most urgent jobs."""
    urgent_s: float
    """The head start of these."""

    @classmethod
    def of(cls, now: float, within_s: float, latest: float, urgent_s: float) -> "ClockFloor":
        """Return the floor of a queue.

        Args:
            now: Unix time in seconds.
            within_s: the time of `TAKES` takes, in seconds.
            latest: the latest clock of a served tenant.
            urgent_s: the head start of its job.
        """
        within_s = max(LEAST_REACTION_S, within_s)
        is_late = now - latest > LATE * within_s
        return cls(now - within_s, math.inf if is_late else urgent_s)

    def at(self, head_start_s: float) -> float:
        """Return the floor for a tenant whose jobs have this head start, in Unix seconds."""
        return self.earliest - max(0.0, head_start_s - self.urgent_s)


class Frontier(NamedTuple):
    """How fast the clocks of those who share a tier advance."""

    slots: float
    """Seconds of work that the workers do for them in one second."""
    weights: float
    """The sum of the weights of all who wait, with the tenant whose job is predicted."""
    floor: "ClockFloor"
    now: float
    mean_s: float
    """The mean run time of a job."""

    def advance(self, weight: float) -> float:
        """Return how far a clock of this weight advances for a second of work."""
        return max(1.0, self.weights / weight) / self.slots


Rates = Sequence[tuple[float, float]]
"""Head starts, and seconds of work with each that come per second."""


def coming(rates: Rates, key: float, now: float) -> float:
    """Return how much work that goes before a delayed virtual time comes per second now."""
    return math.fsum(rate for head_start_s, rate in rates if now + head_start_s < key)


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
    between: tuple[float, float]
    """Virtual times of its first waiting job and of its last."""
    limits: TenantLimits
    rates: Rates

    def waiting_before(self, key: float) -> float:
        """Return how many of its waiting jobs have smaller virtual times, if they are even."""
        first, last = self.between
        if key >= last or first >= last:
            return self.waiting
        return max(1.0, self.waiting * (key - first) / (last - first))

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
            floor = at.floor.at(self.later_head_start_s)
            clock = max(self.clock, floor) + advance * self.run_s
            later = max(self.later_at, clock + self.later_head_start_s)
            share_s = self.run_s + max(0.0, key - later) / advance
        first_s = 0.0 if is_paused else self.run_s
        rate = coming(self.rates, key, at.now)
        return Rival(share_s, self.waiting_before(key) * self.run_s, rate, most, first_s)


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
    others_rates: Rates = ()
    """Work that comes for them, and for tenants without waiting jobs."""

    def others_go_before(self, key: float) -> bool:
        """Return True if most of those that wait are not read, and go before such a job."""
        return self.others > len(self.sharers) and self.others_key < key

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
            since = max(self.others_key, at.floor.earliest)
            share_s = self.others * at.mean_s
            if weight > 0:
                share_s += max(0.0, key - since) / at.advance(weight)
            rate = coming(self.others_rates, key, at.now) if self.others_go_before(key) else 0.0
            found.append(Rival(share_s, self.others_waiting * at.mean_s, rate))
        return [each for each in found if each is not None]


EMPTY = Tier(0.0)
