"""The jobs of a simulation: Poisson streams of levels, and how long each job runs."""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class ServiceTime(Protocol):
    """How long jobs run."""

    @property
    def mean_s(self) -> float:
        """Their mean."""

    def draw(self, rng: random.Random, /) -> float:
        """The seconds that one job runs."""


@dataclass(frozen=True)
class Exponential:
    """Exponentially distributed: most jobs short, a few long."""

    mean_s: float

    def draw(self, rng: random.Random, /) -> float:
        """The seconds that one job runs."""
        return rng.expovariate(1 / self.mean_s)


@dataclass(frozen=True)
class Fixed:
    """Every job alike."""

    mean_s: float

    def draw(self, _: random.Random, /) -> float:
        """The seconds that one job runs."""
        return self.mean_s


@dataclass(frozen=True)
class Measured:
    """Drawn from times that were measured, each as likely."""

    times_s: tuple[float, ...]

    @property
    def mean_s(self) -> float:
        """Their mean."""
        return math.fsum(self.times_s) / len(self.times_s)

    def draw(self, rng: random.Random, /) -> float:
        """The seconds that one job runs."""
        return rng.choice(self.times_s)


class Job(NamedTuple):
    """One job; times in seconds since the start."""

    arrived_at: float
    level: int
    service_s: float


def arrivals(
    rates_per_s: Mapping[int, float], service: ServiceTime, jobs: int, seed: int
) -> list[Job]:
    """Poisson streams, one for each level, merged in the order of arrival.

    Args:
        rates_per_s: jobs a second by level, all positive.
        service: how long they run, drawn for each job when it arrives.
        jobs: how many, of all levels together.
        seed: the same seed gives the same jobs.
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
