"""Memory that runs out: in a worker's process, and in Redis.

The kernel ends a process that has no memory left as `kill -9` does, and here it does so itself: the
worker's processes are put into a control group of little memory, and are given an image that needs
more. That takes rights to make such a group, as root has them outside of containers; elsewhere the
fault is left out, and what remains is the kill -9 of a process that runs a job.
"""

import contextlib
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image as Pillow

from agewell.producer.sending.files import LocalFile
from tests.chaos.kills import Strike
from tests.chaos.scene import HSV, Scene
from tests.support.stack import until

CGROUP = Path("/sys/fs/cgroup")
"""The second version is mounted here, and of the first its controllers, each in a folder."""
LIMIT_BYTES = 64 * 2**20
LARGE = (6000, 6000)
"""Pixels: a hundred kilobytes of PNG, a hundred megabytes of memory."""
KILLED_S = 60.0


class MemoryGroup:
    """A control group whose processes have to do with so little memory."""

    def __init__(self) -> None:
        first = CGROUP / "memory"
        name = f"agewell-{uuid.uuid4().hex}"
        self._folder = (first if first.is_dir() else CGROUP) / name
        self._limit = "memory.limit_in_bytes" if first.is_dir() else "memory.max"
        self._events = "memory.oom_control" if first.is_dir() else "memory.events"
        self._folder.mkdir()
        try:
            (self._folder / self._limit).write_text(str(LIMIT_BYTES))
        except OSError:
            self._folder.rmdir()
            raise

    def add(self, pid: int) -> None:
        """Put a process in: what it takes from now on counts."""
        (self._folder / "cgroup.procs").write_text(str(pid))

    def kills(self) -> int:
        """How many processes the kernel has ended for want of memory."""
        counts = dict(
            line.split() for line in (self._folder / self._events).read_text().splitlines()
        )
        return int(counts["oom_kill"])

    def close(self) -> None:
        """Give those that are left back to the group above, and end this one."""

        def removed() -> bool:
            for pid in (self._folder / "cgroup.procs").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    (self._folder.parent / "cgroup.procs").write_text(pid)
            with contextlib.suppress(OSError):  # busy: one that was killed is not quite gone
                self._folder.rmdir()
                return True
            return False

        until(removed, KILLED_S, lambda: f"{self._folder} is empty")


@contextmanager
def memory_group() -> Iterator[MemoryGroup]:
    group = MemoryGroup()
    try:
        yield group
    finally:
        group.close()


def without_groups() -> str:
    """Why no group can be made here. Empty if one can."""
    try:
        with memory_group():
            return ""
    except OSError as error:
        return f"no memory control group can be made ({error})"


def run_out_of_memory(scene: Scene) -> list[str]:
    """Have the kernel end the process that runs a large job. The job runs again with more room."""
    path = scene.photos[0].path.with_name("large.png")
    Pillow.new("RGB", LARGE, (30, 60, 90)).save(path, compress_level=1)
    with memory_group() as group:
        for each in scene.stack.pool:
            group.add(each.pid)
        sent = scene.send([LocalFile(path, path.name)], HSV, level=0)
        until(group.kills, KILLED_S, lambda: f"the kernel kills: {scene.stack.log}")
    # Processes that are started from now on are the parent's, which has memory enough.
    return sent


def fill_redis(seconds: float) -> Strike:
    """Redis takes nothing that needs memory (maxmemory, noeviction), for a while."""

    def strike(scene: Scene) -> None:
        scene.client.config_resetstat()
        scene.client.config_set("maxmemory", 1)
        time.sleep(seconds)
        scene.client.config_set("maxmemory", 0)
        refused = scene.client.info("errorstats").get("errorstat_OOM")
        assert refused, "it has refused somebody something"

    return strike
