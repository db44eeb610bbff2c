"""How long jobs run, from the costs of their operations and the measured load."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import NamedTuple

from agewell.shared.protocol.fair_share import UNKNOWN_COST_S
from agewell.shared.queue.forecast.load import LATEST_TICKS, QueueLoad, by_level

STALE_S = 60.0
"""Rates of arrivals that are older count as unknown, and jobs that will come are left out."""

LEAST_SECONDS = 1.0
"""The same holds for rates that were measured for less time."""

CHANCE = 4.0
"""Arrivals that are fewer by two standard deviations of a Poisson stream are so by chance."""

LEAST_SAMPLES = 4
"""The least places to look at between two ranks."""


class Costs:
    """How long jobs run.

    The cost of an operation follows the latest jobs, and is as uncertain as they vary. It decides
    only how long jobs run in comparison with each other. Their mean follows from the load.

    Attributes:
        load: the measured load.
        mean_s: the mean time that a job occupies a slot, in seconds. None if it is unknown.
    """

    def __init__(self, per_image_s: Mapping[bytes, bytes], load: QueueLoad) -> None:
        """Compare the costs with the load.

        Args:
            per_image_s: `keys.COSTS`, seconds by operation.
            load: of the queue.
        """
        self._per_image_s = per_image_s
        self.load, self.mean_s = load, load.mean_run_s
        self._busy_s: dict[int, float] = defaultdict(float)
        self._expected: dict[int, float] = defaultdict(float)
        for name, (busy_s, per_image_s_of_runs) in load.runs.items():
            level, _, op = name.partition(" ")
            self._busy_s[int(level)] += busy_s
            self._expected[int(level)] += per_image_s_of_runs / self._cost_s(op.encode())
        expected = math.fsum(self._expected.values())
        known = self.mean_s is not None and expected > 0
        self._calibration = expected / load.ends if known else 1.0

    def _cost_s(self, op: bytes) -> float:
        return float(self._per_image_s.get(op, UNKNOWN_COST_S))

    def run_s(self, op: bytes | None, items: bytes | None) -> float:
        """Return how long a job occupies a slot, in seconds."""
        return self._cost_s(op or b"") * image_count(items) * self._calibration

    def run_s_at(self, level: int) -> float:
        """Return the mean run time of a level's jobs. If none ran, that of all."""
        if self._expected[level] > 0:
            return self._calibration * self._busy_s[level] / self._expected[level]
        return self.mean_s or 0.0

    def work_rates(self, now: float) -> dict[tuple[int, str | None], float]:
        """Return the seconds of work that come per second, by level and tenant.

        The tenant is None for jobs without one, and '' for those of tenants that are not named.
        """
        load = self.load
        if load.seconds < LEAST_SECONDS or now > load.at + STALE_S:
            return {}
        rates = {}
        parts = {level: _goes_on(load, level, n) for level, n in by_level(load.arrivals).items()}
        for name, count in load.arrivals.items():
            level, space, tenant = name.partition(" ")
            rate = self.run_s_at(int(level)) * parts[level] * count / load.seconds
            rates[int(level), tenant if space else None] = rate
        return rates


def _goes_on(load: QueueLoad, level: str, count: float) -> float:
    """Return which part of a level's arrivals goes on. Less than 1 if a burst is over.

    The middle one of the latest ticks tells it, so that a burst within a second or two changes
    nothing. If it is lower than before by no more than chance explains, all goes on.

    Args:
        load: the measured load.
        level: the level.
        count: its arrivals in `load.seconds`.
    """
    ticks = len(load.latest)
    if ticks < LATEST_TICKS or count <= 0:
        return 1.0
    now = statistics.median(each.get(level, 0.0) for each in load.latest)
    expected = ticks * count / load.seconds
    chance = CHANCE / max(1e-9, (expected - ticks * now) ** 2 / max(1.0, expected))
    if ticks * now >= expected or chance >= 1:
        return 1.0
    return chance + (1 - chance) * ticks * now / expected


def image_count(items: bytes | None) -> int:
    """Return the number of images of a job, from its record. At least 1."""
    return max(1, int(items)) if items and items.isdigit() else 1


class Sampled(NamedTuple):
    """A place that is looked at, and stands for those around it."""

    rank: int
    upto: int
    """It stands for the places before this rank, from the last one that another stands for."""


def spread(bounds: Iterable[int], most: int) -> list[Sampled]:
    """Choose places to look at, evenly spread between each two of some ranks.

    Args:
        bounds: ranks up to which the work may be asked for.
        most: about how many places.
    """
    found, low, highs = [], 0, sorted({each for each in bounds if each > 0})
    for high in highs:
        parts = min(high - low, max(LEAST_SAMPLES, most // len(highs)))
        edges = [low + (high - low) * number // parts for number in range(parts + 1)]
        found += [Sampled((one + two) // 2, two) for one, two in pairwise(edges)]
        low = high
    return found


def work_before(count: int, sampled: Iterable[tuple[int, float]], mean_s: float) -> float:
    """Return the work of the first places, in seconds.

    Args:
        count: how many places.
        sampled: ranks, and the run time of the jobs before each, since the one before it.
        mean_s: the run time of a job if there are no samples.
    """
    work_s, before, run_s = 0.0, 0, mean_s
    for upto, run_s in sampled:
        work_s += (min(upto, count) - before) * run_s
        before = min(upto, count)
        if before == count:
            return work_s
    return work_s + (count - before) * run_s
