"""Processor time and wall time of two ways to do the same work, measured in turns."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.report import Spread

ROUNDS = 9


@dataclass(frozen=True)
class Cost:
    """The time of one run."""

    wall_s: float
    processor_s: float
    """The processor time of all processes that took part."""


def in_turns(runs: Mapping[str, Callable[[], Cost]], rounds: int = ROUNDS) -> dict[str, list[Cost]]:
    """Run all of them in turns. The first round warms up and is not returned.

    A busy machine then slows all of them alike. Every second round runs in the opposite order.
    """
    found: dict[str, list[Cost]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name in list(runs)[:: -1 if number % 2 else 1]:
            cost = runs[name]()
            if number:
                found[name].append(cost)
    return found


def per_image_ms(costs: Sequence[Cost], images: int) -> dict[str, object]:
    """Return the columns of a table: the time of one image in ms."""
    return {
        "processor, ms": Spread(tuple(1000 * each.processor_s / images for each in costs)),
        "wall, ms": Spread(tuple(1000 * each.wall_s / images for each in costs)),
    }


def ratios(costs: Sequence[Cost], others: Sequence[Cost]) -> dict[str, object]:
    """Return the columns of a table: how many times longer the others took, pair by pair."""
    pairs = list(zip(costs, others, strict=True))
    return {
        "by processor": Spread(
            tuple(other.processor_s / ours.processor_s for ours, other in pairs)
        ),
        "by wall": Spread(tuple(other.wall_s / ours.wall_s for ours, other in pairs)),
    }


class Stopwatch:
    """Measures a run by the clock, and by a function that returns the processor time so far."""

    def __init__(self, processor_s: Callable[[], float]) -> None:
        """Start."""
        self._processor_s = processor_s
        self._processor_began = processor_s()
        self._began = time.perf_counter()

    def stop(self) -> Cost:
        """Return the times since the start."""
        wall_s = time.perf_counter() - self._began
        return Cost(wall_s, self._processor_s() - self._processor_began)
