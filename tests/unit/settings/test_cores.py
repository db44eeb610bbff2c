"""Cores of a container: its quota, in both versions of cgroups, nested, and in real ones."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agewell.shared import cores
from agewell.shared.cores import quota_cores, usable_cores
from tests.support.cgroups import real_group
from tests.support.paths import ROOT

MOUNT = "{id} 23 0:{id} {root} {place} rw,nosuid shared:9 - {kind} {kind} rw,{options}\n"
V2 = MOUNT.format(id=31, root="/", place="/sys/fs/cgroup", kind="cgroup2", options="nsdelegate")
V1 = MOUNT.format(id=32, root="/", place="/sys/fs/cgroup/cpu", kind="cgroup", options="cpu,cpuacct")
MEMORY = MOUNT.format(id=33, root="/", place="/sys/fs/memory", kind="cgroup", options="memory")


def machine(folder: Path, groups: str, mounts: str, files: dict[str, str]) -> Path:
    """A root directory as a process in these groups sees it."""
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/self/cgroup").write_text(groups)
    (folder / "proc/self/mountinfo").write_text(mounts)
    for name, text in files.items():
        path = folder / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return folder


@pytest.mark.parametrize(
    ("groups", "mounts", "files", "quota"),
    [
        # A container has a name space of its own: its group is the root of what it sees.
        ("0::/\n", V2, {"cpu.max": "150000 100000"}, 1.5),
        ("0::/\n", V2, {"cpu.max": "max 100000"}, math.inf),
        ("0::/\n", V2, {}, math.inf),
        # The smallest of the groups on the way counts.
        (
            "0::/pod/web\n",
            V2,
            {
                "pod/web/cpu.max": "400000 100000",
                "pod/cpu.max": "30000 10000",
                "other/cpu.max": "1 9",
            },
            3.0,
        ),
        (
            "0::/pod/web\n",
            V2,
            {"pod/web/cpu.max": "20000 100000", "pod/cpu.max": "max 100000"},
            0.2,
        ),
        ("0::/pod/web\n", V2, {"pod/web/cpu.max": "max 100000", "cpu.max": "700000 100000"}, 7.0),
        # The group is named as outside of the container, and mounted as a root.
        ("0::/pod/web\n", V2.replace(" / ", " /pod/web "), {"cpu.max": "50000 50000"}, 1.0),
        ("0::/../../sibling\n", V2, {"cpu.max": "200000 100000"}, 2.0),
        # Version 1.
        (
            "9:memory:/m\n4:cpu,cpuacct:/docker/a\n0::/\n",
            MEMORY + V1,
            {
                "cpu/docker/a/cpu.cfs_quota_us": "-1",
                "cpu/docker/a/cpu.cfs_period_us": "100000",
                "cpu/docker/cpu.cfs_quota_us": "250000",
                "cpu/docker/cpu.cfs_period_us": "100000",
            },
            2.5,
        ),
        (
            "4:cpu:/docker/a\n",
            V1.replace(" / ", " /docker/a "),
            {"cpu/cpu.cfs_quota_us": "60000", "cpu/cpu.cfs_period_us": "20000"},
            3.0,
        ),
        ("4:cpu:/\n", V1, {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "1"}, math.inf),
        # Both are mounted, and only version 1 has the controller.
        (
            "4:cpu:/\n0::/\n",
            V1 + V2.replace("/sys/fs/cgroup", "/sys/fs/cgroup/unified"),
            {"cpu/cpu.cfs_quota_us": "5000", "cpu/cpu.cfs_period_us": "10000"},
            0.5,
        ),
        # What cannot be read is no quota.
        ("0::/\n", V2, {"cpu.max": "lots"}, math.inf),
        ("0::/\n", V2, {"cpu.max": "1000 0"}, math.inf),
        ("", "", {"cpu.max": "100000 100000"}, math.inf),
        ("nonsense\n::\n", "nonsense\n", {}, math.inf),
    ],
)
def test_the_quota_is_the_smallest_on_the_way_to_the_root(tmp_path, groups, mounts, files, quota):
    assert quota_cores(machine(tmp_path, groups, mounts, files)) == pytest.approx(quota)


def test_a_place_with_a_space_is_found(tmp_path):
    mounts = V2.replace("/sys/fs/cgroup", r"/sys/fs/cgroup/a\040b")
    root = machine(tmp_path, "0::/\n", mounts, {"a b/cpu.max": "300000 100000"})
    assert quota_cores(root) == 3


@pytest.mark.parametrize(
    ("quota_us", "affinity", "usable"),
    [(150_000, 8, 2), (100_000, 8, 1), (1_000, 8, 1), (240_000, 2, 2), (800_000, 4, 4)],
)
def test_a_fraction_counts_as_a_core_and_the_affinity_bounds_it(
    tmp_path, monkeypatch, quota_us, affinity, usable
):
    monkeypatch.setattr(cores, "_affinity", lambda: affinity)
    root = machine(tmp_path, "0::/\n", V2, {"cpu.max": f"{quota_us} 100000"})
    assert usable_cores(root) == usable


def test_without_a_quota_the_affinity_counts():
    command = "from agewell.shared.cores import usable_cores; print(usable_cores())"
    one = sorted(os.sched_getaffinity(0))[0]
    done = subprocess.run(
        [sys.executable, "-c", command],
        preexec_fn=lambda: os.sched_setaffinity(0, {one}),
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "1\n", done.stderr


SEEN = """
from agewell.shared.settings import Settings
from agewell.workers.process import runtime
settings = Settings()
runtime.prepare(settings)
import cv2, numba, torch
from agewell.workers.models import device, threads
runtime.limit_threads(settings)
device.limit_threads(settings.threads_per_pass)
print(settings.concurrency, settings.threads_per_job, cv2.getNumThreads(),
      numba.get_num_threads(), torch.get_num_threads(), threads.count())
"""


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core: no quota can lower it")
@pytest.mark.parametrize("quota_us", [50_000, 100_000])
def test_every_library_in_a_real_group_of_one_core_has_one_thread(quota_us):
    with real_group(quota_us, 100_000) as members:
        done = subprocess.run(
            [sys.executable, "-c", SEEN],
            preexec_fn=lambda: members.write_text(str(os.getpid())),
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
    assert done.stdout.split() == ["1"] * 6, done.stderr


@pytest.mark.parametrize(
    ("given", "found"), [({}, "passive"), ({"OMP_WAIT_POLICY": "active"}, "active")]
)
def test_threads_that_wait_leave_the_cores_to_others_unless_you_say_otherwise(given, found):
    env = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"} | given
    command = (
        "import os; from agewell.shared.settings import Settings;"
        "from agewell.workers.process import runtime; runtime.prepare(Settings());"
        "print(os.environ['OMP_WAIT_POLICY'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", command],
        env=env | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == found, done.stderr
