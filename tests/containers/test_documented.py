"""The commands of docs/scaling.md, as an ordinary user types them."""

import os
import re
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.containers.stack import USER, Stack
from tests.support.paths import PHOTOS, ROOT
from tests.support.users_package import PAGE, saved_files


@pytest.fixture
def photos(stack: Stack) -> Path:
    """A user's folder whose files nobody else can read."""
    folder = stack.folder / "photos"
    if not folder.exists():
        stack.as_user("mkdir", "--mode=700", "photos")
        for photo in ("bird", "canyon-day", "canyon-night"):
            target = folder / f"{photo}.jpg"
            target.write_bytes((PHOTOS / f"{photo}.jpg").read_bytes())
            target.chmod(0o600)
            if os.geteuid() == 0:
                os.chown(target, USER, USER)
    return folder


def test_doctor_finds_nothing(stack: Stack):
    said = stack.producer("doctor").stdout
    assert "append-only file" in said


def test_enqueue_reads_private_files_and_writes_results_that_belong_to_the_user(
    stack: Stack, photos: Path, out: Path
):
    stack.producer("enqueue", "hsv", "photos/", "--out", out.name)
    made = sorted(out.glob("*.png"))
    assert [path.name for path in made] == [
        f"{path.stem}.hsv.png" for path in sorted(photos.iterdir())
    ]
    for path in made:
        if os.geteuid() == 0:
            assert (path.stat().st_uid, path.stat().st_gid) == (USER, USER)
        source = cv2.imread(str(photos / path.name.replace(".hsv.png", ".jpg")))
        np.testing.assert_array_equal(
            cv2.imread(str(path)), cv2.cvtColor(source, cv2.COLOR_BGR2HSV)
        )


def test_results_are_not_written_where_they_would_be_lost(stack: Stack, photos: Path):
    """Only the user's folder outlives the producer's container."""
    done = stack.producer("enqueue", "hsv", "photos/", "--out", "/tmp/out", check=False)
    assert done.returncode == 2
    assert "Read-only file system" in done.stderr


def test_pictures_from_elsewhere_are_mounted(
    stack: Stack, photos: Path, out: Path, tmp_path_factory: pytest.TempPathFactory
):
    page = (ROOT / "docs" / "scaling.md").read_text()
    [command] = re.findall(r"^docker compose run .*--volume .*$", page, re.MULTILINE)
    elsewhere = stack.folder.parent / "pictures"
    stack.as_user("cp", "-r", str(photos), str(elsewhere))
    words = shlex.split(command.replace("~/pictures", str(elsewhere)).replace("results", out.name))
    stack.compose(*words[2:4], "--no-TTY", *words[4:])
    assert len([*out.glob("*.hsv.png")]) == len([*photos.iterdir()])


def test_an_alpha_blend_is_that_of_opencv(stack: Stack, photos: Path, out: Path):
    stack.producer(
        *("enqueue", "blend", "photos/canyon-day.jpg", "photos/canyon-night.jpg"),
        *("--alpha", "0.5", "--out", out.name),
    )
    [made] = out.glob("canyon-day.*blend*.png")
    day, night = (cv2.imread(str(photos / f"canyon-{part}.jpg")) for part in ("day", "night"))
    wanted = cv2.addWeighted(day, 0.5, night, 0.5, 0)
    assert np.abs(cv2.imread(str(made)).astype(int) - wanted).max() <= 1


@pytest.mark.parametrize("backend", ["numpy", "numba", "taichi-cpu"])
def test_a_backend_of_poisson_blending_works_or_is_not_offered(stack: Stack, backend: str):
    code = (
        "from agewell.workers.operations.poisson import fpie\n"
        f"print({backend!r} in fpie.BACKENDS and fpie.fault_of({backend!r}) or 'works')"
    )
    found = stack.inside("cv", "python", "-c", code)
    assert found == "works" or (backend == "taichi-cpu" and "taichi" in found), found


def test_a_poisson_blend_changes_what_its_mask_covers(stack: Stack, out: Path):
    images = "examples/images"
    stack.producer(
        *("enqueue", "poisson", f"{images}/bird.jpg", f"{images}/bird-mask.png"),
        *(f"{images}/sunset-by-the-pier.jpg", "--at", "840,110", "--out", out.name),
    )
    [made] = out.glob("*poisson*.png")
    before = cv2.imread(str(PHOTOS / "sunset-by-the-pier.jpg"))
    changed = (cv2.imread(str(made)) != before).any(axis=2)
    rows, columns = np.nonzero(cv2.imread(str(PHOTOS / "bird-mask.png"), cv2.IMREAD_GRAYSCALE))
    inside = np.zeros_like(changed)
    inside[rows + 110, columns + 840] = True
    assert not changed[~inside].any()
    assert changed[inside].mean() > 0.5


def test_operations_of_a_user_run_in_the_cv_container(stack: Stack, out: Path):
    """As docs/operations.md says: its module, mounted by its compose file."""
    [override] = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    package = stack.folder / "operations" / "my_package"
    package.mkdir(parents=True)
    (package / "ops.py").write_text(saved_files()["my_package/ops.py"])
    for folder in (package.parent, package):
        folder.chmod(0o755)
    (stack.folder / "docker-compose.override.yml").write_text(override)
    try:
        with stack.files("docker-compose.override.yml"):
            stack.up("cv", services=("cv",))
            arguments = ("enqueue", "sepia", "examples/images/bird.jpg", "--out", out.name)
            stack.producer(*arguments)
        assert (out / "bird.sepia.png").exists()
    finally:
        stack.up("cv", services=("cv",))
