"""Count the processor cores that this process may use: its affinity, and its container's quota.

A container with a quota of two cores on a machine of 64 sees 64 of them. With 64 threads it uses up
its quota early in each period of 0.1 s, and stands still for the rest.
"""

import math
import os
from pathlib import Path

from agewell.shared.cgroups import ROOT, groups_of_process, read


def usable_cores(root: Path = ROOT) -> int:
    """Return how many cores this process can keep busy, at least 1.

    This is the smaller one of its CPU affinity and the quota of its cgroup. A quota of a group
    above it counts too. A fraction of a core counts as one: 2.5 cores are 3.

    Args:
        root: the directory with `proc` and the file system of the cgroups.
    """
    return max(1, math.ceil(min(_affinity(), quota_cores(root))))


def quota_cores(root: Path = ROOT) -> float:
    """Return the quota of this process's cgroups in cores, or infinity if there is none.

    Source: `cpu.max` in the kernel's Documentation/admin-guide/cgroup-v2.rst, and
    `cpu.cfs_quota_us` in its Documentation/scheduler/sched-bwc.rst for version 1.
    """
    quotas = (_quota(folder) for folder in groups_of_process("cpu", root))
    return min(quotas, default=math.inf)


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quota(folder: Path) -> float:
    """Read one group's quota. In version 2 it is `max` or a time, and then the period, in µs."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        quota, period = read(folder / "cpu.cfs_quota_us"), read(folder / "cpu.cfs_period_us")
    try:
        cores = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return math.inf
    return cores if cores > 0 else math.inf  # version 1 writes -1 if there is no quota
