"""The measured load of a queue: which jobs come, and how long they run. Upkeep measures it.

Run times follow from Little's law: the time that slots were busy, divided by the jobs that ended.
So they include all that a slot needs for a job. They also hold for models, which run jobs in
batches.
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from pydantic import TypeAdapter, ValidationError

LEAST_ENDS = 0.5
"""With fewer ended jobs, run times count as unknown."""


LATEST_TICKS = 5
"""How many ticks `QueueLoad.latest` has. With fewer, nobody can tell if a burst is over."""


@dataclass(frozen=True)
class QueueLoad:
    """Sums over about the last minute: the older a second, the less it counts."""

    at: float = 0.0
    """When it was measured, as Unix time in seconds."""
    waiting: int = 0
    """Jobs that waited then, with scheduled ones."""
    running: int = 0
    """Jobs that ran then."""
    seconds: float = 0.0
    """The time in which `arrivals` came."""
    arrivals: dict[str, float] = field(default_factory=dict)
    """Jobs by level, or by level, a space and tenant. An empty name stands for other tenants."""
    latest: list[dict[str, float]] = field(default_factory=list)
    """For each of the latest ticks, jobs that came per second, by level."""
    ends: float = 0.0
    """Jobs that ended while `runs` was measured."""
    ages_s: float = 0.0
    """The sum over the same seconds of how long the running jobs had run, by slot and second."""
    runs: dict[str, tuple[float, float]] = field(default_factory=dict)
    """By level, a space and operation: seconds in which slots ran such jobs, and the same seconds,
    each divided by the number of images of the job."""

    @staticmethod
    def of_text(text: bytes | None) -> "QueueLoad":
        """Read the load as Redis has it. If another version wrote it, nothing is measured yet."""
        try:
            return _ADAPTER.validate_json(text or b"{}")
        except ValidationError:
            return QueueLoad()

    def text(self) -> str:
        """Return the load as Redis has it."""
        return json.dumps(asdict(self))

    @property
    def mean_run_s(self) -> float | None:
        """The mean time that a job occupies a slot. None if no job has ended yet."""
        busy_s = self.busy_s
        return busy_s / self.ends if self.ends >= LEAST_ENDS and busy_s > 0 else None

    @property
    def busy_s(self) -> float:
        """The seconds in which slots ran jobs."""
        return sum(each for each, _ in self.runs.values())

    @property
    def variation(self) -> float:
        """How much run times vary: 0 if all are equal, 1 if they vary like exponential ones.

        Whoever looks at a running job finds one of age E[S^2] / (2 E[S]) on average, where S is the
        run time. So this is the square of its coefficient of variation, at most 1.
        """
        mean_s = self.mean_run_s
        if mean_s is None:
            return 1.0
        return max(0.0, min(1.0, 2 * self.ages_s / self.busy_s / mean_s - 1))


def level_of(name: str) -> str:
    """Return the level in a name of `QueueLoad.arrivals`."""
    return name.partition(" ")[0]


def by_level(counts: Mapping[str, float]) -> dict[str, float]:
    """Add up counts by level and tenant, for each level."""
    sums: dict[str, float] = defaultdict(float)
    for name, count in counts.items():
        sums[level_of(name)] += count
    return dict(sums)


_ADAPTER = TypeAdapter(QueueLoad)
