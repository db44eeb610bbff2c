"""The share that is due to each tenant: workers as a fluid, divided by weights at every moment.

Tenants that wait get the workers' time by their weights. If one needs less than its part, the
others get the rest by theirs. The members of a team divide their team's part in the same way. This
is generalised processor sharing, which no order of whole jobs can reach exactly.

Source: A. K. Parekh and R. G. Gallager, "A generalized processor sharing approach to flow control
in integrated services networks", IEEE/ACM Transactions on Networking 1(3), 1993.
"""

import math
from collections.abc import Mapping, Sequence

from agewell.producer.simulate.tenant_jobs import Stream, TenantJob
from agewell.shared.protocol.tenants import team_of
from agewell.shared.queue.tenants import TenantLimits

NO_LIMITS = TenantLimits()


def divided(
    needs: Mapping[str, float], weights: Mapping[str, float], total: float
) -> dict[str, float]:
    """Divide a total by weights, so that none gets more than it needs, and the others the rest.

    Args:
        needs: the most that each may get, at least 0.
        weights: of each, above 0.
        total: the sum to divide. If all need less together, a part of it stays.
    """
    parts, left = dict.fromkeys(needs, 0.0), total
    weight = math.fsum(weights[name] for name in needs)
    # In this order, whoever needs less than its part comes before those who share the rest.
    for name in sorted(needs, key=lambda each: needs[each] / weights[each]):
        part = min(needs[name], left * min(1.0, weights[name] / weight)) if weight > 0 else 0.0
        parts[name] = part
        left -= part
        weight -= weights[name]
    return parts


class Fluid:
    """The workers' time that is due to each tenant, step by step."""

    def __init__(
        self,
        jobs: Sequence[TenantJob],
        streams: Sequence[Stream],
        limits: Mapping[str, TenantLimits],
        workers: int,
    ) -> None:
        """Begin at time 0.

        Args:
            jobs: of all streams, in the order of arrival.
            streams: the streams of the jobs. A team has no jobs itself, but those of its members.
            limits: of tenants and teams. One without limits has the weight 1.
            workers: the number of jobs that run at a time.
        """
        self._jobs, self._streams, self._workers = jobs, streams, workers
        tenants = dict.fromkeys(each.tenant for each in streams)
        self._waiting_s = dict.fromkeys(tenants, 0.0)
        teams = dict.fromkeys(team_of(each) or each for each in tenants)
        self._members = {
            team: [each for each in tenants if team_of(each) == team] for team in teams
        }
        names = [*tenants, *teams]
        self._limits = {name: limits.get(name, NO_LIMITS) for name in names}
        self._weights = {name: each.weight for name, each in self._limits.items()}
        self._mean_s = _mean_service_s(jobs, streams)
        self._come = 0

    def step(self, until: float, seconds: float) -> dict[str, float]:
        """Return the seconds of work that each tenant is due in one step.

        Args:
            until: the end of the step, in seconds since the start.
            seconds: its length.
        """
        while self._come < len(self._jobs) and self._jobs[self._come].job.arrived_at < until:
            job, stream = self._jobs[self._come]
            self._waiting_s[self._streams[stream].tenant] += job.service_s
            self._come += 1
        most = {
            name: min(left, self._most(name, seconds)) for name, left in self._waiting_s.items()
        }
        of_teams = {
            team: min(math.fsum(most[each] for each in members), self._most(team, seconds))
            if members
            else most[team]
            for team, members in self._members.items()
        }
        due: dict[str, float] = {}
        for team, part in divided(of_teams, self._weights, self._workers * seconds).items():
            members = {each: most[each] for each in self._members[team]}
            due |= divided(members, self._weights, part) if members else {team: part}
        for name, part in due.items():
            self._waiting_s[name] -= part
        return due

    def _most(self, name: str, seconds: float) -> float:
        """Return the most work that the limits of a tenant or team allow in a step, in seconds."""
        limits = self._limits[name]
        running = (limits.max_running or self._workers) * seconds
        starts = limits.rate_per_s * self._mean_s.get(name, 0.0) * seconds
        return min(running, starts) if starts else running


def _mean_service_s(jobs: Sequence[TenantJob], streams: Sequence[Stream]) -> dict[str, float]:
    """Return the mean run time of the jobs of each tenant and team, in seconds."""
    times: dict[str, list[float]] = {}
    for job, stream in jobs:
        tenant = streams[stream].tenant
        for name in {tenant, team_of(tenant) or tenant}:
            times.setdefault(name, []).append(job.service_s)
    return {name: math.fsum(each) / len(each) for name, each in times.items()}
