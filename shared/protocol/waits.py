"""How long a job waits: the moment at which the workers have done all that goes before it.

Work is counted in seconds of one slot. A worker with four slots does four seconds of work in one
second. Before a job go the jobs that are ahead of it now, the more urgent ones that come while it
waits, and the jobs that other tenants get served meanwhile. So a job starts at the smallest t with

    slots * t = ahead + sum of inflows(t) + sum of rivals(t).

The right side grows ever more slowly, so there is at most one such t. This treats work as a fluid:
it predicts the mean of many waits, and not the luck of a single one.

Source: the delay busy period (R. W. Conway, W. L. Maxwell, L. W. Miller, "Theory of Scheduling",
1967), and generalised processor sharing (A. K. Parekh, R. G. Gallager, 1993) for the rivals.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

LONGEST_S = 3.2e7
"""A longer wait, of more than a year, counts as none that could be told."""

STEPS = 100
"""Most steps to the solution. The sum is linear in pieces, so a few are enough."""


class Work(Protocol):
    """Work that goes before a job, as a function of the time that the job has waited."""

    def work_s(self, t: float) -> float:
        """Return the work until t, in seconds."""

    def per_s(self, t: float) -> float:
        """Return how fast it grows at t, in seconds per second."""


@dataclass(frozen=True)
class Inflow:
    """Jobs that will come and go first."""

    rate: float
    """Seconds of work that come per second."""
    until_s: float
    """After this time, those that come go later."""

    def work_s(self, t: float) -> float:
        """Return the work until t, in seconds."""
        return self.rate * min(t, self.until_s)

    def per_s(self, t: float) -> float:
        """Return how fast it grows at t, in seconds per second."""
        return self.rate if t < self.until_s else 0.0


@dataclass(frozen=True)
class Rival:
    """Another tenant with waiting jobs, or several together."""

    share_s: float
    """Work that is due to it before the job goes, in seconds. It may not have so much."""
    backlog_s: float
    """Work that waits."""
    rate: float = 0.0
    """Seconds of work that come per second."""
    limit: float = math.inf
    """The most seconds of work per second that its limits allow."""
    first_s: float = 0.0
    """Work that it may start at once, with such a limit."""

    def _lines(self) -> tuple[tuple[float, float], ...]:
        lines = ((self.share_s, 0.0), (self.backlog_s, self.rate))
        return lines if math.isinf(self.limit) else (*lines, (self.first_s, self.limit))

    def work_s(self, t: float) -> float:
        """Return the work until t, in seconds."""
        return min(base + slope * t for base, slope in self._lines())

    def per_s(self, t: float) -> float:
        """Return how fast it grows at t, in seconds per second."""
        return min((base + slope * t, slope) for base, slope in self._lines())[1]


def wait_s(slots: float, ahead_s: float, others: Sequence[Work] = ()) -> float | None:
    """Return how long a job waits, in seconds. None if it would be more than a year.

    Args:
        slots: seconds of work that the workers do in one second, above 0.
        ahead_s: work that goes before the job whatever comes, at least 0.
        others: work that depends on how long the job waits.
    """

    def left_s(t: float) -> float:
        return slots * t - ahead_s - math.fsum(each.work_s(t) for each in others)

    if left_s(0.0) >= 0:
        return 0.0
    t = max(1e-3, ahead_s / slots)
    while left_s(t) < 0:
        t *= 2
        if t > LONGEST_S:
            return None
    for _ in range(STEPS):  # Newton's method, from the right of the only root of a convex function
        over_s = left_s(t)
        if over_s <= 1e-9 * slots * t:
            break
        t -= over_s / (slots - math.fsum(each.per_s(t) for each in others))
    return max(0.0, t)


def first_free_s(
    slots: int, mean_s: float, left_s: Sequence[float] = (), variation: float = 1.0
) -> float:
    """Return the work until the first of all busy slots is free, in seconds of one slot.

    Args:
        slots: the number of slots.
        mean_s: the mean run time.
        left_s: for each running job, by how much it has run for less than is usual for it.
        variation: 1 if run times vary like exponential ones, which have no memory. Then the first
            ends after mean_s / slots. 0 if they do not vary: then it ends after the smallest of
            left_s. In between, it is in between.
    """
    if not left_s:
        return mean_s
    return variation * mean_s + (1 - variation) * slots * max(0.0, min(left_s))
