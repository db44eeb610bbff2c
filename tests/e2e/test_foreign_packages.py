"""Projects of somebody else's, with packages and modules named like agewell's and its own."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from tests.support.stack import COMMAND, Stack, started, state_directory

PACKAGES = ("workers", "shared", "producer", "models")
MODULES = ("celery", "redis", "kombu", "flower", "numpy", "cv2", "pydantic", "queue", "logging")

PROGRAM = """
import sys
import shared, workers  # the project's own
from agewell import Client, HsvItem, HsvJob

with Client.open() as client:
    (image,) = client.put(sys.argv[1])
    outcome = client.wait(client.send(HsvJob(items=(HsvItem(image=image),))), timeout_s=60)
    print(shared.OWNER, outcome.state.value, len(client.read(outcome.images[0])))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    for name in PACKAGES:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("OWNER = 'somebody'\n")
    return folder


@pytest.fixture(scope="module")
def messy_folder(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same project, with modules that would replace packages if they were found first."""
    folder = tmp_path_factory.mktemp("messy") / "project"
    shutil.copytree(project, folder)
    for name in MODULES:
        (folder / f"{name}.py").write_text(f"raise ImportError('not {name}')\n")
    return folder


@pytest.fixture(scope="module")
def stack_in_project(messy_folder: Path):
    with pytest.MonkeyPatch.context() as patch, state_directory() as folder:
        patch.chdir(messy_folder)
        with started(folder, CONCURRENCY=1) as stack:
            yield stack
            stack.stop()


def test_up_starts_each_program_once(stack_in_project: Stack):
    assert "starts again" not in stack_in_project.log


def test_enqueue_writes_results(stack_in_project: Stack, messy_folder: Path, photos: Path):
    done = subprocess.run(
        [COMMAND, "enqueue", "hsv", photos / "bird.jpg", "--out", "out"],
        cwd=messy_folder,
        env=stack_in_project.env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    photo = cv2.imread(str(photos / "bird.jpg"))
    made = cv2.imread(str(messy_folder / "out" / "bird.hsv.png"))
    assert (made == cv2.cvtColor(photo, cv2.COLOR_BGR2HSV)).all()


def test_a_program_of_the_project_uses_the_client(
    stack_in_project: Stack, project: Path, photos: Path
):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, photos / "bird.jpg"],
        cwd=project,
        env=stack_in_project.env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.startswith("somebody done "), done.stderr


def test_celery_finds_the_workers_by_their_module(stack_in_project: Stack, project: Path):
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "agewell.workers.upkeep", "inspect", "ping", "-j"],
        cwd=project,
        env=stack_in_project.env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    names = {name.partition("@")[0] for name in json.loads(done.stdout.splitlines()[-1])}
    assert {"cv", "upkeep"} <= names
