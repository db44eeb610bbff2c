"""Tenants and teams of the simulator: their waiting jobs, their clocks, and their candidates."""

import heapq
from dataclasses import dataclass, field
from typing import NamedTuple

from agewell.shared.queue.tenants import TenantLimits


class Waiting(NamedTuple):
    """A job that waits."""

    virtual_time: float
    """Of the aging law, in seconds."""
    number: int
    """Counts up with every job that comes. Of equal virtual times, the smallest goes first."""
    since: float
    """Since when it waits, in seconds of the same clock."""
    tenant: str | None


class Candidate(NamedTuple):
    """A job with the virtual time that its tenant's and its team's clocks delay."""

    key: float
    number: int
    job: Waiting
    member: "Node | None"
    """The tenant whose candidate it is, or None for a job of the node itself."""


@dataclass(eq=False)
class Node:
    """The queue, a tenant or team, or the member of a team.

    Attributes:
        clock: when it may be served next if everybody gets their share.
        next_at: when its rate allows the next job.
        looked_at: the last `next_at` for which it was paused.
        running: the number of its running jobs, those of members included.
        own: its own waiting jobs by number.
        heap: its own jobs, and its members' candidates. Old entries stay until they are the first.
        candidate: in the heap of the parent, or None.
        counted: its weight in the sum of the parent, 0.0 without a candidate.
        weights: the sum of its members' weights that have candidates.
    """

    parent: "Node | None" = None
    limits: TenantLimits = field(default_factory=TenantLimits)
    clock: float = 0.0
    next_at: float = 0.0
    looked_at: float = 0.0
    running: int = 0
    own: dict[int, Waiting] = field(default_factory=dict)
    heap: list[Candidate] = field(default_factory=list)
    candidate: Candidate | None = None
    counted: float = 0.0
    weights: float = 0.0

    def first(self) -> Candidate | None:
        """Return the first of the jobs that may run, and drop old entries before it."""
        heap = self.heap
        while heap:
            first = heap[0]
            member = first.member
            if member is None:
                current = self.own.get(first.number) is first.job
            else:
                current = member.candidate is first
            if current:
                return first
            heapq.heappop(heap)
        return None

    def may_run(self, now: float) -> bool:
        """Return False if the tenant has as many running jobs as it may, or waits for its rate."""
        limits = self.limits
        if limits.rate_per_s and self.next_at > now:
            return False
        return not limits.max_running or self.running < limits.max_running

    def path(self) -> "list[Node]":
        """Return the node and its team, the team first. The queue has no clock."""
        above = self.parent
        if above is None:
            return []
        return [self] if above.parent is None else [above, self]


@dataclass(frozen=True)
class Charged:
    """The charge of a running job.

    Attributes:
        at: when it started.
        cost_s: its expected time.
        clocks: for its team and its tenant: how far its clock advanced for each second of cost,
            and the clock after the charge.
    """

    at: float
    cost_s: float
    clocks: tuple[tuple[Node, float, float], ...]
