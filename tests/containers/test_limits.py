"""Limits of containers: memory, cores, and what a change of the code builds again."""

import os
import time
from pathlib import Path

import pytest

from tests.containers.stack import USER, Stack
from tests.containers.test_images import python


def layers(stack: Stack, name: str) -> list[str]:
    found = stack.engine.get(f"/images/agewell-{name}:0.1.0/json")
    return list(found["RootFS"]["Layers"])


def test_a_changed_line_builds_only_the_last_layer_again(images: Stack, measured):
    changed = images.folder / "shared" / "text" / "units.py"
    readme = images.folder / "README.md"
    texts = {path: path.read_text() for path in (changed, readme)}
    for path, text in texts.items():
        path.write_text(f"{text}\n# changed at {time.time_ns()}\n")
        before = layers(images, "cv")
        took_s = images.build("cv")
        measured(f"build cv again after a change of {path.name}", f"{took_s:.1f} s")
        assert took_s <= 20
        assert layers(images, "cv")[:-1] == before[:-1]
        path.write_text(text)
    images.build("cv")


def test_threads_follow_the_quota_of_the_container(images: Stack):
    code = "from agewell.shared.cores import usable_cores; print(usable_cores())"
    image = "agewell-cv:0.1.0"
    run = ("run", "--rm", "--network=none", "--entrypoint=python")
    assert images.engine.docker(*run, "--cpus=0.5", image, "-c", code) == "1"
    assert int(python(images, "cv", code)) >= 1


def test_cv_fits_into_its_memory(stack: Stack):
    """It warns at startup if its jobs do not, and here it does not warn."""
    assert "memory limit" not in stack.logs("cv")
    done = stack.engine.docker(
        *("run", "--rm", "--network=none", "--memory=4g", "--env=AGEWELL_CONCURRENCY=2"),
        *("--entrypoint=python", "agewell-cv:0.1.0", "-c"),
        "from agewell.workers.process.memory import too_small\n"
        "from agewell.shared.settings import Settings\n"
        "print(too_small(Settings.load()))",
    )
    assert "the memory limit of this container is 4.3 GB" in done


def test_a_worker_warns_of_too_little_memory_before_its_processes_start(images: Stack):
    """With far too little, the kernel ends it while they start. There is no Redis, so none do."""
    worker = (
        "celery -A agewell.workers.cv worker -Q cv > /tmp/log 2>&1 & "
        "for i in $(seq 100); do grep -q 'memory limit' /tmp/log && break; sleep 0.1; done; "
        "cat /tmp/log"
    )
    options = (
        "--rm",
        "--network=none",
        "--memory=4g",
        "--env=AGEWELL_REDIS_URL=redis://127.0.0.1:1",
    )
    said = images.engine.docker("run", *options, "agewell-cv:0.1.0", "sh", "-c", worker)
    assert "the memory limit of this container is 4.3 GB" in said


@pytest.mark.skipif("LARGE" not in os.environ, reason="takes a minute; set LARGE=1")
def test_two_of_the_largest_blends_fit_into_the_memory_of_cv(stack: Stack, measured, out: Path):
    """A kernel that kills one of them leaves WorkerLostError in the log."""
    code = (
        "import cv2, numpy as np\n"
        "mask = np.zeros((2830, 2830), np.uint8); mask[2:-2, 2:-2] = 255\n"
        "cv2.imwrite('large/mask.png', mask)\n"
        "for name in ('day', 'night'):\n"
        "    image = cv2.imread(f'examples/images/canyon-{name}.jpg')\n"
        "    cv2.imwrite(f'large/sources/{name}.jpg', cv2.resize(image, (2830, 2830)))\n"
    )
    stack.as_user("mkdir", "--parents", "large/sources")
    stack.engine.docker(
        *(
            "run",
            "--rm",
            "--network=none",
            f"--user={USER}:{USER}",
            f"--volume={stack.folder}:/work",
        ),
        *("--workdir=/work", "--entrypoint=python", "agewell-cv:0.1.0", "-c", code),
    )
    began = time.monotonic()
    done = stack.producer(
        *("enqueue", "poisson", "large/sources/", "large/mask.png", "large/sources/night.jpg"),
        *("--images-per-job", "1", "--out", out.name),
        timeout_s=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    measured("two of the largest Poisson blends", f"{time.monotonic() - began:.0f} s")
    assert "WorkerLostError" not in stack.logs("cv")
