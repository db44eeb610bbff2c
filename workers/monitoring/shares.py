"""How much of the running jobs each tenant had over the last minutes."""

from collections import Counter, deque
from collections.abc import Iterable

from agewell.shared.queue.status import QueueStatus

LOOK_EVERY_S = 2.0
LOOKS = 150
"""How many looks to keep: five minutes."""

_OTHERS = "\n"  # no tenant has this name


class Shares:
    """The running jobs of each tenant in the last looks.

    A share of running jobs is one of the workers' time, because looks come at regular times. In a
    look in which a tenant is not among the largest, it counts as if it had no jobs.
    """

    def __init__(self) -> None:
        self._looks: deque[Counter[tuple[str, str]]] = deque(maxlen=LOOKS)
        self._sums: Counter[tuple[str, str]] = Counter()

    def add(self, queues: Iterable[QueueStatus]) -> None:
        """Add a look, and drop the oldest one if there are too many."""
        if len(self._looks) == LOOKS:
            self._sums -= self._looks[0]
        look: Counter[tuple[str, str]] = Counter()
        for queue in queues:
            look[queue.queue, ""] = queue.reserved
            look[queue.queue, _OTHERS] = queue.other_tenants.running
            for each in queue.tenants:
                look[queue.queue, each.tenant] = each.running
        self._looks.append(look)
        self._sums += look

    def of(self, queue: str, tenant: str) -> float:
        """Return a tenant's share of the running jobs of a queue, 0 to 1. 0 if none ran."""
        return self._sums[queue, tenant] / (self._sums[queue, ""] or 1)

    def of_others(self, queue: str) -> float:
        """Return the share of all tenants together while they were not among the largest."""
        return self.of(queue, _OTHERS)
