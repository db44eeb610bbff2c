"""Statistics of simulations with tenants: waits, shares of the workers' time, and fairness."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from agewell.producer.simulate.fluid import NO_LIMITS, Fluid
from agewell.producer.simulate.report import Waits, waits_of
from agewell.producer.simulate.simulation import Setup, simulate
from agewell.producer.simulate.tenant_jobs import Stream, TenantJob
from agewell.producer.simulate.tenant_run import TenantRun
from agewell.shared.protocol.aging import AgingPolicy
from agewell.shared.queue.tenants import TenantLimits

STEPS = 1000
"""Steps of the sending time in which shares are computed."""

MOMENTS = 20
"""Moments of the sending time at which fairness is computed."""

NOTHING_S = 1e-9
"""Less work than this counts as none, in seconds."""


@dataclass(frozen=True)
class TenantSummary:
    """Waits and share of one tenant.

    Attributes:
        weight: of the tenant.
        share: its part of the work that was done while tenants were sending, 0 to 1.
        due: its part if workers were a fluid that is divided by weights at every moment.
        lag_s: the most by which its work was behind that, in seconds of work.
        waits: by level. A level without jobs is missing.
    """

    weight: float
    share: float
    due: float
    lag_s: float
    waits: dict[int, Waits]


@dataclass(frozen=True)
class TenantsSummary:
    """Result of one simulation.

    Attributes:
        order: `tenants`, or `aging` for the same jobs without tenants.
        utilisation: the share of the workers' time in which they ran jobs, 0 to 1.
        fairness: Jain's index of share / due among tenants, at most 1. It is the mean of twenty
            moments, each of the work since the start.
        tenants: by name, in the order of the streams.
        waited: (arrival, wait) of each job in seconds, by tenant.
    """

    order: Literal["tenants", "aging"]
    utilisation: float
    fairness: float
    tenants: dict[str, TenantSummary]
    waited: dict[str, list[tuple[float, float]]]


def jains_index(shares: Sequence[float]) -> float:
    """Return (sum x)^2 / (n sum x^2): 1 if all are equal, and 1 / n if one has everything.

    Source: R. Jain, D. Chiu, W. Hawe, "A quantitative measure of fairness and discrimination for
    resource allocation in shared computer systems", DEC TR-301, 1984.
    """
    squares = math.fsum(each * each for each in shares)
    return math.fsum(shares) ** 2 / (len(shares) * squares) if squares else 1.0


@dataclass(frozen=True)
class TenantExperiment:
    """Simulations of the same jobs with and without tenants.

    Attributes:
        jobs: the jobs, in the order of arrival.
        streams: the streams of the jobs.
        limits: of tenants and teams.
        policy: the aging.
        workers: the number of jobs that run at a time.
        sending_s: how long shares are compared, in seconds.
    """

    jobs: Sequence[TenantJob]
    streams: Sequence[Stream]
    limits: Mapping[str, TenantLimits]
    policy: AgingPolicy
    workers: int
    sending_s: float

    def results(self, done: Callable[[int], None]) -> tuple[TenantsSummary, TenantsSummary]:
        """Simulate with tenants, then without.

        Args:
            done: called now and then, with the number of jobs of the first simulation that have come.
        """
        fluid = Fluid(self.jobs, self.streams, self.limits, self.workers)
        step_s = self.sending_s / STEPS
        due = [fluid.step((step + 1) * step_s, step_s) for step in range(STEPS)]
        fair = TenantRun(self.jobs, self.streams, self.limits, self.policy, self.workers)
        fair.run(done)
        plain = simulate([each.job for each in self.jobs], Setup(self.policy, self.workers))
        return (
            self._summary("tenants", fair.started_at, fair.now, due),
            self._summary("aging", plain.started_at, plain.ended_at, due),
        )

    def _summary(
        self,
        order: Literal["tenants", "aging"],
        started_at: Sequence[float],
        ended_at: float,
        due: Sequence[Mapping[str, float]],
    ) -> TenantsSummary:
        names = dict.fromkeys(each.tenant for each in self.streams)
        waits: dict[str, dict[int, list[float]]] = {name: {} for name in names}
        waited: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
        for (job, stream), start in zip(self.jobs, started_at, strict=True):
            name, wait = self.streams[stream].tenant, start - job.arrived_at
            waits[name].setdefault(job.level, []).append(wait)
            waited[name].append((job.arrived_at, wait))
        shares = _Shares(self._served(started_at), due)
        tenants = {
            name: TenantSummary(
                weight=self.limits.get(name, NO_LIMITS).weight,
                share=shares.served[name] / (math.fsum(shares.served.values()) or 1.0),
                due=shares.due[name] / (math.fsum(shares.due.values()) or 1.0),
                lag_s=shares.lag_s[name],
                waits={level: waits_of(sorted(each[level])) for level in sorted(each)},
            )
            for name, each in waits.items()
        }
        busy_s = math.fsum(each.job.service_s for each in self.jobs)
        utilisation = busy_s / (self.workers * ended_at)
        return TenantsSummary(order, utilisation, shares.fairness, tenants, waited)

    def _served(self, started_at: Sequence[float]) -> list[dict[str, float]]:
        """Return the seconds of work that were done in each step, by tenant."""
        step_s = self.sending_s / STEPS
        served: list[dict[str, float]] = [{} for _ in range(STEPS)]
        for (job, stream), start in zip(self.jobs, started_at, strict=True):
            name, end = self.streams[stream].tenant, start + job.service_s
            step = int(start / step_s)
            while step < STEPS and step * step_s < end:
                within_s = min(end, (step + 1) * step_s) - max(start, step * step_s)
                served[step][name] = served[step].get(name, 0.0) + within_s
                step += 1
        return served


class _Shares:
    """The work of each tenant since the start, beside the work that is due to it.

    Attributes:
        served: seconds of work by tenant, at the end of the sending time.
        due: the same of the work that is due.
        lag_s: the most by which it was behind.
        fairness: the mean of Jain's index at some moments.
    """

    def __init__(
        self, served: Sequence[Mapping[str, float]], due: Sequence[Mapping[str, float]]
    ) -> None:
        self.served, self.due, self.lag_s = (dict.fromkeys(due[0], 0.0) for _ in range(3))
        indexes = []
        for step, (done, owed) in enumerate(zip(served, due, strict=True), start=1):
            for name, part in owed.items():
                self.due[name] += part
                self.served[name] += done.get(name, 0.0)
                behind_s = self.due[name] - self.served[name]
                self.lag_s[name] = max(self.lag_s[name], behind_s)
            if step % (STEPS // MOMENTS) == 0:
                indexes.append(self._index())
        self.fairness = math.fsum(indexes) / len(indexes)

    def _index(self) -> float:
        ratios = [
            self.served[name] / owed_s for name, owed_s in self.due.items() if owed_s > NOTHING_S
        ]
        return jains_index(ratios)
