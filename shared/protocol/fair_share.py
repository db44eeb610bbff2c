"""The law that shares workers fairly between tenants: it delays the jobs of those who had more.

Each tenant has a clock: the time, in Unix seconds, at which it may be served next if everybody
gets their share. A job of a tenant has the virtual time of the aging law (`aging.py`), later by as
much as the tenant's clock is ahead of the time since which the job waits. The jobs of one tenant
thus keep their own order, and without tenants the order is exactly that of the aging law.

When a job is taken, its tenant's clock advances by

    cost * (weights of the tenants that wait) / (weight of the tenant) * pace / (jobs that run).

cost is the operation's measured time. When the job no longer runs, the clock is corrected at the
same rate by the time that it ran longer or shorter. With pace = 1 the clocks of busy tenants
advance like real time, because all together get one second of work per second and running job. The
pace corrects what the estimates get wrong: it grows if the clocks are behind real time.

The queue's Lua scripts compute the same (`shared/queue/tenants.lua`). The simulator uses this
module.

Source: start-time fair queueing (P. Goyal, H. Vin, H. Cheng, SIGCOMM 1996), with start tags in
real time, and one tag for each tenant in place of one for each job.
"""

import math
from dataclasses import dataclass

UNKNOWN_COST_S = 0.1
"""The cost of a job of an operation that has not been measured yet."""

TAKES = 30
"""The pace is corrected most if the clocks lag by the time of this many takes, or more."""

LATE = 2
"""If the latest start is behind by more than this, in times of those takes, all clocks lag."""

AHEAD_PACE = 0.25
"""Pace of a clock that is ahead by more than the time of those takes, as a part of the others'. Its
tenant is only served because no other waits, so it says nothing about the pace."""

STRENGTH = 0.15
"""The largest correction of one charge, as a natural logarithm."""

LEARNING = 0.003
"""The largest lasting correction of one charge, as a natural logarithm."""

NEWEST = 0.1
"""Weight of the latest number in the moving average of running jobs."""

RAN_MAX_S = 3600.0
"""The longest run that is charged, unless more was expected. A suspended host charges no days."""

PACE_MAX = 16.0
LEAST_REACTION_S = 0.2


def delayed(virtual_time: float, since: float, clock: float) -> float:
    """Return the virtual time of a tenant's job, in seconds. The smallest goes first.

    Args:
        virtual_time: of the aging law, in seconds.
        since: since when the job waits, in Unix seconds.
        clock: of its tenant.
    """
    if clock <= since:
        return virtual_time
    # A due date moves a job forward. It ends the head start of the others, but not their share.
    return max(virtual_time, since) + clock - since


def correction(per_s: float, cost_s: float, ran_s: float) -> float:
    """Return what a job is charged when it has ended. Never below minus what it was charged before.

    Args:
        per_s: how far the clock advanced for each second of cost.
        cost_s: the cost that was charged.
        ran_s: how long the job ran.
    """
    return per_s * (max(0.0, min(max(RAN_MAX_S, cost_s), ran_s)) - cost_s)


@dataclass
class Pace:
    """How fast the clocks of tenants run, compared with the estimates. One for each queue."""

    latest: float = 0.0
    """The latest start of a job, in Unix seconds: its tenant's clock, or since when it waited."""
    head_start_s: float = 0.0
    """The head start of that job: how much later its level lets it go than level 0."""
    learned: float = 1.0
    running: float = 0.0
    """The moving average of the jobs that run when another one is taken, with that one."""

    def charge(
        self,
        clock: float,
        since: float,
        head_start_s: float,
        cost_s: float,
        running: int,
        now: float,
    ) -> "Charge":
        """Return how a tenant's clock advances for one job, and learn from it.

        Args:
            clock: of its tenant, before the charge.
            since: since when the job has waited, in Unix seconds.
            head_start_s: by how much later its level lets it go than level 0, in seconds. Negative
                for a job with a due date, which counts as 0.
            cost_s: of the job.
            running: jobs that run, with this one.
            now: Unix time in seconds.
        """
        self.running += NEWEST * (running - self.running) if self.running else running
        within_s = max(LEAST_REACTION_S, TAKES * cost_s / self.running)
        pace, head_start_s = self.learned, max(0.0, head_start_s)
        start = max(clock, since)
        is_ahead = start - now > within_s
        if is_ahead:
            pace *= AHEAD_PACE
        elif start >= self.latest:
            self.latest, self.head_start_s = start, head_start_s
        if clock > since and not is_ahead:
            lag = max(-1.0, min(1.0, (now - self.latest) / within_s))
            self.learned *= math.exp(LEARNING * lag)
            self.learned = max(1 / PACE_MAX, min(PACE_MAX, self.learned))
            pace = self.learned * math.exp(STRENGTH * lag)
        # The clock of a tenant with less urgent jobs rightly stays behind by their head start.
        behind_s = max(0.0, head_start_s - self.head_start_s)
        is_late = now - self.latest > LATE * within_s
        return Charge(pace / self.running, now - within_s - (0.0 if is_late else behind_s))


@dataclass(frozen=True)
class Charge:
    """How the clocks of a tenant and of its team advance for one job."""

    per_s: float
    """Seconds for each second of cost, if the tenant had all the weight."""
    earliest: float
    """No clock stays behind this. After a time without workers, it ends the lag of all clocks."""

    def advanced(self, clock: float, since: float, advance_s: float) -> float:
        """Return a clock after the charge.

        Args:
            clock: before, in Unix seconds.
            since: since when the job has waited, in Unix seconds.
            advance_s: `per_s` times the cost, times the weights of all who wait, divided by the
                tenant's weight.
        """
        return max(clock, since, self.earliest) + advance_s
