"""The order of waiting jobs: by weight, w = e^(k t - level), t seconds since the job was enqueued.

k is the same for all jobs of a queue, so the order of two jobs never changes: it is the order of
their virtual times, enqueued_at + level / k, the smallest first. A level is worth a head start of
1/k seconds, and a job climbs one level every 1/k seconds that it waits.

The queue's scripts compute the same virtual time (`shared/queue/order.lua`), and the simulator
takes it from here.
"""

from dataclasses import dataclass

from agewell.shared.protocol.levels import LEVELS

STRICT_S = 1e10
"""Seconds that a level is worth if k is 0, and the most for any k: 317 years.

As a number it can stand in a virtual time, whose precision is 16 microseconds then."""


@dataclass(frozen=True)
class AgingPolicy:
    """How fast waiting jobs gain weight.

    ``k_per_s`` is k, per second and not negative; 0 turns aging off: levels are then strict.
    """

    k_per_s: float

    def log_weight(self, level: int, waited_s: float) -> float:
        """The logarithm of a job's weight: e^x itself overflows past x = 709."""
        return self.k_per_s * waited_s - level

    def head_start_s(self, level: int) -> float:
        """Seconds that a job of level 0 may come later and still go first."""
        if self.k_per_s <= 1 / STRICT_S:
            return level * STRICT_S
        return level / self.k_per_s

    def virtual_time(self, enqueued_at: float, level: int) -> float:
        """What jobs are ordered by, the smallest first."""
        return enqueued_at + self.head_start_s(level)

    def level_at(self, enqueued_at: float, level: int, now: float) -> int:
        """The level that a job has climbed to: the first whose newcomers it is not behind."""
        if self.k_per_s == 0:
            return level
        virtual_time = self.virtual_time(enqueued_at, level)
        climbed = (each for each in LEVELS if virtual_time <= now + self.head_start_s(each))
        return min(next(climbed, level), level)
