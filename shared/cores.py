"""Count the processor cores that this process may use: its affinity, and its container's quota.

A container with a quota of two cores on a machine of 64 sees 64 of them. With 64 threads it uses up
its quota early in each period of 0.1 s, and stands still for the rest.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")


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
    quotas = (_quota(folder) for folder in _groups(root))
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
        quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
    try:
        cores = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return math.inf
    return cores if cores > 0 else math.inf  # version 1 writes -1 if there is no quota


def _groups(root: Path) -> Iterator[Path]:
    """List the directories of this process's cgroups with a CPU controller, and of those above."""
    of_process = dict(_groups_of_process(root))
    for kind, top, place in _mounts(root):
        group = of_process.get(kind)
        if group is None:
            continue
        # A container sees its own group as the file system's root, whatever its path outside.
        below = group.relative_to(top) if group.is_relative_to(top) else Path()
        if ".." in below.parts:
            below = Path()
        mounted = root / place.relative_to("/")
        folder = mounted / below
        yield folder
        yield from (each for each in folder.parents if each.is_relative_to(mounted))


def _groups_of_process(root: Path) -> Iterator[tuple[str, Path]]:
    """Read /proc/self/cgroup: the group by the kind of file system, cgroup2 or cgroup."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not controllers:
            yield "cgroup2", Path(path)
        elif "cpu" in controllers.split(","):
            yield "cgroup", Path(path)


def _mounts(root: Path) -> Iterator[tuple[str, Path, Path]]:
    """Read /proc/self/mountinfo: kind of file system, the group at its root, and its place."""
    for line in _read(root / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        fields, (kind, *options) = before.split(), after.split() or [""]
        if kind == "cgroup2" or (kind == "cgroup" and "cpu" in options[-1].split(",")):
            yield kind, Path(_unescaped(fields[3])), Path(_unescaped(fields[4]))


def _unescaped(path: str) -> str:
    """Decode the spaces and the like that mountinfo writes as octal numbers."""
    return path.encode().decode("unicode_escape").encode("latin-1").decode(errors="surrogateescape")


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="surrogateescape").strip()
    except OSError:
        return ""
