"""Find the cgroups of this process, which hold the limits of its container.

Both versions of cgroups are read: the kernel's Documentation/admin-guide/cgroup-v2.rst and
cgroup-v1/cgroups.rst.
"""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")


def groups_of_process(controller: str, root: Path = ROOT) -> Iterator[Path]:
    """List the directories of this process's cgroups with a controller, and of those above.

    Args:
        controller: cpu, memory, ...
        root: the directory with `proc` and the file system of the cgroups.
    """
    of_process = dict(_names_of_groups(root, controller))
    for kind, top, place in _mounts(root, controller):
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


def _names_of_groups(root: Path, controller: str) -> Iterator[tuple[str, Path]]:
    """Read /proc/self/cgroup: the group by the kind of file system, cgroup2 or cgroup."""
    for line in read(root / "proc/self/cgroup").splitlines():
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not controllers:
            yield "cgroup2", Path(path)
        elif controller in controllers.split(","):
            yield "cgroup", Path(path)


def _mounts(root: Path, controller: str) -> Iterator[tuple[str, Path, Path]]:
    """Read /proc/self/mountinfo: kind of file system, the group at its root, and its place."""
    for line in read(root / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        fields, (kind, *options) = before.split(), after.split() or [""]
        if kind == "cgroup2" or (kind == "cgroup" and controller in options[-1].split(",")):
            yield kind, Path(_unescaped(fields[3])), Path(_unescaped(fields[4]))


def _unescaped(path: str) -> str:
    """Decode the spaces and the like that mountinfo writes as octal numbers."""
    return path.encode().decode("unicode_escape").encode("latin-1").decode(errors="surrogateescape")


def read(path: Path) -> str:
    """Return the text of a file without the white space around it, or '' if it cannot be read."""
    try:
        return path.read_text(errors="surrogateescape").strip()
    except OSError:
        return ""
