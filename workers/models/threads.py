"""The number of threads of one pass on the CPU, the same for every library that runs passes."""

from agewell.shared.cores import usable_cores

_limits: list[int] = []


def limit(count: int) -> None:
    """Set the threads of one pass in this process. Graphs that are opened later get this many."""
    _limits[:] = [count]


def count() -> int:
    """Return the threads of one pass: the limit, or all cores that this process may use."""
    return _limits[0] if _limits else usable_cores()
