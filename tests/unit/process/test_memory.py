"""Jobs in a process that may not take all the memory they need: an error that says so."""

import json
import os
import resource
import subprocess
import sys

import cv2
import numpy as np
import pytest

from agewell.shared.errors import JobMemoryError
from agewell.shared.settings import Settings
from agewell.workers.process import memory

MIB = 2**20
SIDE = 2500

# One process for all limits of an operation: what one job leaves must not fail the next.
PROGRAM = """
import hashlib, json, sys
from agewell.workers.process import memory
from agewell.workers.jobs import run as jobs
from agewell.shared.protocol.messages import ImageRef
from agewell.workers.jobs.job_classes import parse_job
from agewell.shared.settings import Settings
import resource, re

files = json.loads(sys.argv[1])
class Blobs:
    kept = {}
    def put(self, images):
        found = []
        for name, kind, data in images:
            sha256 = hashlib.sha256(data).hexdigest()
            self.kept[sha256] = data
            found.append(ImageRef(uri="redis:" + sha256, sha256=sha256, size_bytes=len(data),
                                  media_type=kind, name=name))
        return found
    def get(self, ref):
        return self.kept[ref.sha256]
blobs = Blobs()
refs = {}
for field, (path, kind) in files.items():
    [ref] = blobs.put([(field, kind, open(path, "rb").read())])
    refs[field] = ref.model_dump(mode="json")
settings = Settings(redis_url="redis://127.0.0.1:1", job_memory_bytes=1)
job = parse_job({"items": [refs]} | json.loads(sys.argv[2]))
small = parse_job({"op": "hsv", "items": [{"image": refs["tiny"]}]}) if "tiny" in refs else None
def data_bytes():
    return 1024 * int(re.search(r"VmData:\\s+(\\d+)", open("/proc/self/status").read())[1])
hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
base = data_bytes()
for extra in json.loads(sys.argv[3]):
    resource.setrlimit(resource.RLIMIT_DATA, (base + extra * 2**20, hard))
    try:
        jobs.run_job(job, blobs, settings)
        said = "ok"
    except Exception as error:
        said = type(error).__name__ + ": " + str(error)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
    print(json.dumps([extra, said]), flush=True)
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A large photo in each format, and a mask."""
    folder = tmp_path_factory.mktemp("large")
    photo = np.random.default_rng(0).integers(0, 256, (SIDE // 20, SIDE // 20, 4), np.uint8)
    photo = np.repeat(np.repeat(photo, 20, 0), 20, 1)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[100:400, 100:400] = 255
    kinds = {"jpg": "jpeg", "png": "png", "webp": "webp", "tiff": "tiff", "bmp": "bmp"}
    found = {}
    for suffix, kind in kinds.items():
        cv2.imwrite(str(folder / f"photo.{suffix}"), photo[:, :, :3])
        found[kind] = (str(folder / f"photo.{suffix}"), f"image/{kind}")
    cv2.imwrite(str(folder / "alpha.png"), photo)
    cv2.imwrite(str(folder / "mask.png"), mask)
    return found | {
        "alpha": (str(folder / "alpha.png"), "image/png"),
        "mask": (str(folder / "mask.png"), "image/png"),
    }


JOBS = {
    **{
        f"hsv of {kind}": ({"image": kind}, {"op": "hsv", "output": {"format": "png"}})
        for kind in ("jpeg", "png", "webp", "tiff", "bmp")
    },
    "hsv to webp": ({"image": "png"}, {"op": "hsv", "output": {"format": "webp"}}),
    "alpha_blend": (
        {"foreground": "alpha", "background": "png"},
        {"op": "alpha_blend", "alpha": 0.5},
    ),
    "poisson_blend": (
        {"source": "png", "mask": "mask", "destination": "jpeg"},
        {"op": "poisson_blend"},
    ),
}


@pytest.mark.parametrize(("fields", "job"), JOBS.values(), ids=JOBS)
def test_job_without_enough_memory_fails_and_its_process_goes_on(files, fields, job):
    chosen = {field: files[name] for field, name in fields.items()}
    limits = [2000, 8, 20, 40, 70, 2000]
    env = os.environ | {"AGEWELL_POISSON_BACKEND": "numba"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(chosen), json.dumps(job), json.dumps(limits)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert [extra for extra, _ in said] == limits
    outcomes = [text for _, text in said]
    assert outcomes[0] == outcomes[-1] == "ok"
    assert outcomes[1].startswith("JobMemoryError: ")
    for text in outcomes:
        assert text == "ok" or "not enough memory: a worker process may use 1 bytes" in text, text


def test_error_names_the_limit_and_the_remedy():
    error = JobMemoryError("a.png", 4_000_000_000)
    assert "AGEWELL_JOB_MEMORY_BYTES" in str(error)
    assert "4000000000 bytes" in str(error)


def test_a_damaged_image_is_no_lack_of_memory():
    assert not memory.lacks(50 * MIB)
    assert memory.is_exhausted(MemoryError())
    assert not memory.is_exhausted(ValueError())
    with pytest.raises(cv2.error) as caught:
        cv2.resize(np.zeros((2, 2), np.uint8), (0, 0))
    assert not memory.is_exhausted(caught.value)


@pytest.mark.parametrize(
    ("setting", "value"), [("max_pixels", 100_000_000), ("poisson_max_pixels", 50_000_000)]
)
def test_memory_limit_follows_from_the_image_limits(setting, value):
    plain = Settings()
    assert 3e9 < memory.job_limit(plain) < 6e9
    assert memory.thumbnail_limit(plain) < 2e9
    assert memory.job_limit(plain.model_copy(update={setting: value})) > memory.job_limit(plain)
    assert memory.job_limit(plain.model_copy(update={"job_memory_bytes": 7})) == 7


def test_a_limit_is_never_raised_above_the_administrators():
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_DATA, (10**9, 10**9));"
        "from agewell.workers.process.memory import limit_this_process;"
        "limit_this_process(2 * 10**9);"
        "print(resource.getrlimit(resource.RLIMIT_DATA), resource.getrlimit(resource.RLIMIT_AS))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("(1000000000, 1000000000)")
    assert str(resource.RLIM_INFINITY) not in done.stdout


V1 = "33 23 0:33 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
V2 = "31 23 0:31 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"


@pytest.mark.parametrize(
    ("groups", "mounts", "name", "limit", "warns"),
    [
        ("0::/\n", V2, "memory.max", "4294967296", True),
        ("0::/\n", V2, "memory.max", "10737418240", False),
        ("0::/\n", V2, "memory.max", "max", False),
        ("9:memory:/\n", V1, "memory/memory.limit_in_bytes", "4294967296", True),
        ("9:memory:/\n", V1, "memory/memory.limit_in_bytes", "9223372036854771712", False),
        ("", "", "memory.max", "1", False),
    ],
)
def test_a_container_that_is_too_small_for_its_jobs_is_named(
    tmp_path, groups, mounts, name, limit, warns
):
    """Two Poisson blends of 8 megapixels took 2.6 GB each, and a kernel killed one at 4 GiB."""
    for path, text in (("proc/self/cgroup", groups), ("proc/self/mountinfo", mounts)):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    limits = tmp_path / "sys/fs/cgroup" / name
    limits.parent.mkdir(parents=True)
    limits.write_text(limit + "\n")
    said = memory.too_small(Settings(concurrency=2), tmp_path)
    assert (said is not None) == warns
    assert not said or ("4.3 GB" in said and "AGEWELL_CONCURRENCY" in said)
    # Smaller jobs fit.
    small = Settings(concurrency=2, job_memory_bytes=10**9)
    assert memory.too_small(small, tmp_path) is None
