"""Real cgroups of this machine, with a CPU quota as a container has one."""

import contextlib
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def real_group(quota_us: int, period_us: int) -> Iterator[Path]:
    """A cgroup of this machine with a quota. Yields the file that takes the ids of processes."""
    name = f"agewell-test-{uuid.uuid4().hex}"
    for top in ("/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup"):
        folder = Path(top) / name
        try:
            folder.mkdir()
            if (folder / "cpu.max").exists():
                (folder / "cpu.max").write_text(f"{quota_us} {period_us}")
            else:
                (folder / "cpu.cfs_period_us").write_text(str(period_us))
                (folder / "cpu.cfs_quota_us").write_text(str(quota_us))
        except OSError:
            with contextlib.suppress(OSError):
                folder.rmdir()
            continue
        try:
            yield folder / "cgroup.procs"
        finally:
            _remove(folder)
        return
    pytest.skip("cgroups: this user may not make one with a CPU quota")


def _remove(folder: Path) -> None:
    """Remove a group, once its last process is gone."""
    deadline = time.monotonic() + 10
    while True:
        try:
            folder.rmdir()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
