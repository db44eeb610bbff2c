"""Statistics of simulations: the waits of each level under several orders of service."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from agewell.producer.simulate.jobs import Job
from agewell.producer.simulate.simulation import Run, Setup, simulate
from agewell.shared.protocol.aging import AgingPolicy

Measure = Literal["mean", "p50", "p95", "p99", "longest"]

STRICT = AgingPolicy(0)
K_PRECISION = 1.02
"""The search ends when a k that keeps the target and one that does not have this ratio."""


@dataclass(frozen=True)
class Waits:
    """The waits of one level's jobs, from arrival to start, in seconds."""

    jobs: int
    mean: float
    p50: float
    p95: float
    p99: float
    longest: float


@dataclass(frozen=True)
class Summary:
    """Result of one simulation.

    Attributes:
        policy: the aging. None: first come, first served.
        waits: the waits by level.
        utilisation: the share of the workers' time in which they ran jobs, 0 to 1.
    """

    policy: AgingPolicy | None
    waits: dict[int, Waits]
    utilisation: float

    @property
    def order(self) -> str:
        """The order of service: `strict`, `aging` or `fifo`."""
        if self.policy is None:
            return "fifo"
        return "aging" if self.policy.k_per_s > 0 else "strict"


def summarise(jobs: Sequence[Job], run: Run, setup: Setup) -> Summary:
    """Compute the waits of each level and the utilisation of the workers."""
    of_level: dict[int, list[float]] = {job.level: [] for job in jobs}
    for job, started_at in zip(jobs, run.started_at, strict=True):
        of_level[job.level].append(started_at - job.arrived_at)
    busy_s = math.fsum(job.service_s for job in jobs)
    return Summary(
        policy=setup.policy,
        waits={level: waits_of(sorted(of_level[level])) for level in sorted(of_level)},
        utilisation=busy_s / (setup.workers * run.ended_at),
    )


def waits_of(ordered: list[float]) -> Waits:
    """Compute the statistics of waits, given in rising order, in seconds."""

    def percentile(part: float) -> float:
        return ordered[math.ceil(part * len(ordered)) - 1]

    return Waits(
        jobs=len(ordered),
        mean=math.fsum(ordered) / len(ordered),
        p50=percentile(0.50),
        p95=percentile(0.95),
        p99=percentile(0.99),
        longest=ordered[-1],
    )


@dataclass(frozen=True)
class Experiment:
    """Simulations of the same jobs under several orders of service.

    Attributes:
        jobs: the jobs, in the order of arrival.
        workers: the number of jobs that run at a time.
        reserved: the number of jobs that a worker holds beyond the running one.
        done: called after each simulation.
    """

    jobs: Sequence[Job]
    workers: int
    reserved: int
    done: Callable[[], None]

    @property
    def mean_service_s(self) -> float:
        """The mean run time of the jobs, in seconds."""
        return math.fsum(job.service_s for job in self.jobs) / len(self.jobs)

    def under(self, policy: AgingPolicy | None) -> Summary:
        """Simulate one order of service. None: first come, first served."""
        setup = Setup(policy, self.workers, self.reserved)
        summary = summarise(self.jobs, simulate(self.jobs, setup), setup)
        self.done()
        return summary

    def smallest_k(self, level: int, measure: Measure, limit_s: float) -> Summary | None:
        """Find the smallest k, to two digits, that keeps a wait of a level within a limit.

        The search is a bisection. It is exact for the least urgent level, as its waits fall when k
        rises. For other levels a smaller k may exist.

        Args:
            level: the level, 0 to 9.
            measure: which of its waits to limit.
            limit_s: the longest that this wait may be, in seconds.

        Returns:
            The simulation with that k, or None if not even first come, first served keeps the
            limit.
        """

        def keeps(summary: Summary) -> bool:
            wait: float = getattr(summary.waits[level], measure)
            return wait <= limit_s

        strict = self.under(STRICT)
        if keeps(strict):
            return strict
        longest = max(waits.longest for waits in strict.waits.values())
        low, high = 0.5 / longest, 100 * max(strict.waits) / self.mean_service_s
        found = self.under(AgingPolicy(high))
        if not keeps(found):
            return None
        while high / low > K_PRECISION:
            middle = math.sqrt(low * high)
            tried = self.under(AgingPolicy(middle))
            if keeps(tried):
                high, found = middle, tried
            else:
                low = middle
        rounded = self.under(AgingPolicy(_two_digits_up(high)))
        return rounded if keeps(rounded) else found


def _two_digits_up(value: float) -> float:
    digits = 1 - math.floor(math.log10(value))
    # As a decimal text, because 3 * 0.1 is not 0.3.
    return float(f"{math.ceil(value * 10**digits)}e{-digits}")


def telling_ks(strict: Summary, fifo: Summary, service_s: float, count: int) -> list[float]:
    """Choose values of k for a plot, from nearly strict levels to nearly first come, first served.

    They are evenly spaced on a logarithmic axis. Levels are strict if the head start of a level,
    1 / k, is longer than the longest wait. They have no effect if the head start of the most urgent
    level is much shorter than a usual wait.

    Args:
        strict: the simulation with k = 0.
        fifo: the simulation with first come, first served.
        service_s: the mean run time of a job. Shorter waits count as this long.
        count: the number of values, 2 or more.
    """
    spread = max(1, max(strict.waits) - min(strict.waits))
    longest = max(waits.longest for waits in strict.waits.values())
    usual = max(waits.mean for waits in fifo.waits.values())
    low = 0.5 / max(longest, service_s)
    high = max(10 * spread / max(usual, service_s), 10 * low)
    return [low * (high / low) ** (step / (count - 1)) for step in range(count)]
