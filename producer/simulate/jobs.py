"""The jobs of a simulation: a Poisson stream for each level, and the run time of each job."""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class ServiceTime(Protocol):
    """Distribution of the run times of jobs."""

    @property
    def mean_s(self) -> float:
        """The mean run time, in seconds."""

    def draw(self, rng: random.Random, /) -> float:
        """Draw the run time of one job, in seconds."""


@dataclass(frozen=True)
class Exponential:
    """Exponential distribution: most jobs are short, and a few are long."""

    mean_s: float

    def draw(self, rng: random.Random, /) -> float:
        """Draw the run time of one job, in seconds."""
        return rng.expovariate(1 / self.mean_s)


@dataclass(frozen=True)
class Fixed:
    """Every job runs equally long."""

    mean_s: float

    def draw(self, _: random.Random, /) -> float:
        """Return the run time of every job, in seconds."""
        return self.mean_s


@dataclass(frozen=True)
class Measured:
    """Run times drawn from measured ones, all equally likely."""

    times_s: tuple[float, ...]

    @property
    def mean_s(self) -> float:
        """The mean run time, in seconds."""
        return math.fsum(self.times_s) / len(self.times_s)

    def draw(self, rng: random.Random, /) -> float:
        """Draw the run time of one job, in seconds."""
        return rng.choice(self.times_s)


class Job(NamedTuple):
    """One job. Its arrival is in seconds since the start."""

    arrived_at: float
    level: int
    service_s: float


def arrivals(
    rates_per_s: Mapping[int, float], service: ServiceTime, jobs: int, seed: int
) -> list[Job]:
    """Make the jobs of one Poisson stream for each level, in the order of arrival.

    Args:
        rates_per_s: jobs per second by level, all above 0.
        service: distribution of the run times.
        jobs: the number of jobs, of all levels together.
        seed: the seed of the random numbers. The same seed gives the same jobs.
    """
    rng = random.Random(seed)  # noqa: S311 - no secret
    total = math.fsum(rates_per_s.values())
    levels = rng.choices(list(rates_per_s), list(rates_per_s.values()), k=jobs)
    now = 0.0
    made = []
    for level in levels:
        now += rng.expovariate(total)
        made.append(Job(now, level, service.draw(rng)))
    return made
