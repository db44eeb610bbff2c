"""What a simulation says: the waits of each level, under one order of service or another."""

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
"""The ratio between a k that keeps a target and one that does not, at which the search ends."""


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
    """One order of service; ``policy`` None is first come, first served."""

    policy: AgingPolicy | None
    waits: dict[int, Waits]
    utilisation: float

    @property
    def order(self) -> str:
        """`strict`, `aging` or `fifo`."""
        if self.policy is None:
            return "fifo"
        return "aging" if self.policy.k_per_s > 0 else "strict"


def summarise(jobs: Sequence[Job], run: Run, setup: Setup) -> Summary:
    """The waits of each level, and how busy the workers were."""
    of_level: dict[int, list[float]] = {job.level: [] for job in jobs}
    for job, started_at in zip(jobs, run.started_at, strict=True):
        of_level[job.level].append(started_at - job.arrived_at)
    busy_s = math.fsum(job.service_s for job in jobs)
    return Summary(
        policy=setup.policy,
        waits={level: _waits(sorted(of_level[level])) for level in sorted(of_level)},
        utilisation=busy_s / (setup.workers * run.ended_at),
    )


def _waits(ordered: list[float]) -> Waits:
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
    """The same jobs, served in one order after another."""

    jobs: Sequence[Job]
    workers: int
    reserved: int
    done: Callable[[], None]
    """Called after each simulation."""

    @property
    def mean_service_s(self) -> float:
        """The mean time of a job, in seconds."""
        return math.fsum(job.service_s for job in self.jobs) / len(self.jobs)

    def under(self, policy: AgingPolicy | None) -> Summary:
        """Serve the jobs in one order."""
        setup = Setup(policy, self.workers, self.reserved)
        summary = summarise(self.jobs, simulate(self.jobs, setup), setup)
        self.done()
        return summary

    def smallest_k(self, level: int, measure: Measure, limit_s: float) -> Summary | None:
        """The smallest k, to two digits, that keeps a wait of a level within a limit.

        Found by bisection, as the wait of the least urgent level falls with k; of another level,
        the smallest is not certain. None: not even first come, first served keeps it.
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
    # By a decimal text, as 3 * 0.1 is no 0.3.
    return float(f"{math.ceil(value * 10**digits)}e{-digits}")


def telling_ks(strict: Summary, fifo: Summary, service_s: float, count: int) -> list[float]:
    """Values of k, evenly spaced by their logarithms, from nearly strict to nearly fifo.

    Levels are strict where the longest wait is less than the head start of one, and mean nothing
    where the head start of them all is less than a usual wait. Waits below ``service_s``, the mean
    time of a job, count as that.
    """
    spread = max(1, max(strict.waits) - min(strict.waits))
    longest = max(waits.longest for waits in strict.waits.values())
    usual = max(waits.mean for waits in fifo.waits.values())
    low = 0.5 / max(longest, service_s)
    high = max(10 * spread / max(usual, service_s), 10 * low)
    return [low * (high / low) ** (step / (count - 1)) for step in range(count)]
