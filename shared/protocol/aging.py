"""The aging formula. The waiting job with the largest weight w = e^(k t - level) runs first.

t is the time since the job was enqueued, in seconds. k is the same for all jobs of a queue, so the
order of two jobs never changes. It is the order of their virtual times, enqueued_at + level / k,
and the smallest goes first. A job of level 0 has a head start of 1/k seconds over one of level 1,
and each job climbs one level for every 1/k seconds that it waits.

The queue's Lua scripts compute the same virtual time (`shared/queue/order.lua`). The simulator
uses this module.
"""

from dataclasses import dataclass

from agewell.shared.protocol.levels import LEVELS

STRICT_S = 1e10
"""The head start of one level in seconds if k is 0, and the largest for any k: 317 years.

Infinity could not be part of a virtual time. With this number a virtual time is still precise to
16 microseconds.
"""


@dataclass(frozen=True)
class AgingPolicy:
    """How fast the jobs of one queue age.

    ``k_per_s`` is k, per second and at least 0. With 0 there is no aging, and a more urgent level
    always goes first.
    """

    k_per_s: float

    def log_weight(self, level: int, waited_s: float) -> float:
        """Return k t - level, the logarithm of a job's weight. The weight itself may overflow.

        Args:
            level: 0 to 9.
            waited_s: t, the time since the job was enqueued, in seconds.
        """
        return self.k_per_s * waited_s - level

    def head_start_s(self, level: int) -> float:
        """Return how many seconds later a job of level 0 may come and still go first."""
        if self.k_per_s <= 1 / STRICT_S:
            return level * STRICT_S
        return level / self.k_per_s

    def virtual_time(self, enqueued_at: float, level: int) -> float:
        """Return the virtual time of a job, in seconds. The job with the smallest goes first."""
        return enqueued_at + self.head_start_s(level)

    def level_at(self, enqueued_at: float, level: int, now: float) -> int:
        """Return the level a job has climbed to: the most urgent whose new jobs it does not follow.

        Args:
            enqueued_at: Unix time in seconds.
            level: the level that the job was enqueued with, 0 to 9.
            now: Unix time in seconds.
        """
        if self.k_per_s == 0:
            return level
        virtual_time = self.virtual_time(enqueued_at, level)
        climbed = (each for each in LEVELS if virtual_time <= now + self.head_start_s(each))
        return min(next(climbed, level), level)
