"""The queue of items that wait for a forward pass. It has no clock: the time is an argument.

Items of one key can share a pass: the same version of a model, the same shapes and dtypes. A group
is due when it is full, when its oldest item has waited for `max_wait_s`, or when no job can still
add to it. Of the due groups, the one with the most urgent item is taken first. Of that group, the
most urgent items are taken.
"""

from bisect import insort
from collections.abc import Hashable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from agewell.workers.models.model import Model

Arrays = Mapping[str, npt.NDArray[Any]]
Rank = tuple[float, float]
"""The sort key of an item, the smallest first: (level, time) or (virtual time, 0)."""


@dataclass(frozen=True)
class BatchLimits:
    """The limits of one pass, and how long an item waits for others to share it."""

    max_size: int  # items
    max_pixels: int  # of all items together; a single item may have more
    max_wait_s: float


@dataclass(eq=False)
class Request:
    """One item in the queue. Its future gets a result or an error exactly once."""

    model: "Model"
    arrays: Arrays  # by name, without a batch axis
    pixels: int
    rank: Rank
    taps: tuple[str, ...] = ()
    future: "Future[dict[str, npt.NDArray[Any]]]" = field(default_factory=Future)

    @property
    def key(self) -> Hashable:
        """The key of items that can share a pass: model, shapes, dtypes and taps."""
        shapes = tuple((name, a.shape, a.dtype.str) for name, a in sorted(self.arrays.items()))
        return (id(self.model), shapes, self.taps)

    @property
    def size_bytes(self) -> int:
        """Memory of the item's arrays, in bytes."""
        return sum(np.asarray(array).nbytes for array in self.arrays.values())


@dataclass(frozen=True, order=True)
class _Waiting:
    rank: Rank
    number: int
    arrived_at: float = field(compare=False)
    request: Request = field(compare=False)


class _Group:
    """The waiting items of one key, the most urgent first."""

    def __init__(self, limits: BatchLimits) -> None:
        self.limits = limits
        self.items: list[_Waiting] = []

    def full(self) -> bool:
        pixels = sum(each.request.pixels for each in self.items)
        return len(self.items) >= self.limits.max_size or pixels >= self.limits.max_pixels

    def due_at(self) -> float:
        return min(each.arrived_at for each in self.items) + self.limits.max_wait_s

    def pop(self) -> list[Request]:
        """Take the items of the next pass: as many as the limits allow, and at least one."""
        count = pixels = 0
        for each in self.items[: self.limits.max_size]:
            pixels += each.request.pixels
            if count and pixels > self.limits.max_pixels:
                break
            count += 1
        taken, self.items = self.items[:count], self.items[count:]
        return [each.request for each in taken]


class BatchQueue:
    """Waiting items by key, with a limit in bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._groups: dict[Hashable, _Group] = {}
        self._size_bytes = 0
        self._added = 0

    def __len__(self) -> int:
        return sum(len(group.items) for group in self._groups.values())

    def has_room(self, request: Request) -> bool:
        """Return True if an item may be added. An empty queue takes an item of any size."""
        return not self._groups or self._size_bytes + request.size_bytes <= self._max_bytes

    def add(self, request: Request, limits: BatchLimits, now: float) -> bool:
        """Add an item. Returns True if this changes when the next pass is due.

        Args:
            request: the item.
            limits: of the item's group, used if the group is new.
            now: seconds.
        """
        was_empty = not self._groups
        group = self._groups.setdefault(request.key, _Group(limits))
        self._added += 1
        insort(group.items, _Waiting(request.rank, self._added, now, request))
        self._size_bytes += request.size_bytes
        return was_empty or len(group.items) == 1 or group.full()

    def take(self, now: float, *, all_here: bool) -> list[Request]:
        """Take the items of the next pass. Returns [] if no group is due.

        Args:
            now: seconds, of the same clock as in `add`.
            all_here: no job can add an item, so every group is due.
        """
        due = [
            (group.items[0], key)
            for key, group in self._groups.items()
            if all_here or group.full() or group.due_at() <= now
        ]
        if not due:
            return []
        _, key = min(due)
        group = self._groups[key]
        taken = group.pop()
        if not group.items:
            del self._groups[key]
        self._size_bytes -= sum(request.size_bytes for request in taken)
        return taken

    def next_due_at(self) -> float | None:
        """Return the time at which the next group is due, or None if the queue is empty."""
        return min((group.due_at() for group in self._groups.values()), default=None)
