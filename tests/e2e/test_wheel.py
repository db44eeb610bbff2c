"""The installed producer: the wheel, with the tested versions and nothing else, on each Python."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import pytest

from tests.support.paths import ROOT
from tests.support.stack import Stack

PACKAGES = ("models", "producer", "shared", "workers")
VERSIONS = ("3.11", "3.12", "3.13")

PROGRAM = """
import sys
from agewell import Client, HsvItem, HsvJob

with Client.open() as client:
    [image] = client.put(sys.argv[1])
    outcome = client.wait(client.send(HsvJob(items=(HsvItem(image=image),))), timeout_s=60)
    print(outcome.state.value, len(client.read(outcome.items[0].image)))
"""


def interpreter(version: str) -> str | None:
    """A Python of this version that runs. pyenv puts names on the PATH that do not."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    name = f"python{version}"
    for found in (shutil.which(name), *map(str, sorted(pyenv.glob(f"{version}.*/bin/{name}")))):
        if found is not None:
            done = subprocess.run([found, "-c", "import ensurepip, venv"], capture_output=True)
            if done.returncode == 0:
                return found
    return None


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the Dockerfile copies, and no others: the images are built from them."""
    folder = tmp_path_factory.mktemp("source")
    dockerfile = (ROOT / "Dockerfile").read_text()
    for names, target in re.findall(r"^COPY (?!--from)(.+) (\S+)$", dockerfile, re.MULTILINE):
        for name in names.split():
            if (ROOT / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / name, folder / target, ignore=ignored, symlinks=True)
            else:
                shutil.copy(ROOT / name, folder / target)
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path) -> Path:
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        "dist",
        ".",
    ]
    subprocess.run(command, cwd=source, check=True, timeout=120)
    [found] = (source / "dist").iterdir()
    return found


def test_the_wheel_has_every_file_of_the_packages(wheel: Path):
    tracked = subprocess.run(
        ["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True
    )
    packed = set(zipfile.ZipFile(wheel).namelist())
    assert {f"agewell/{name}" for name in tracked.stdout.split()} <= packed


def test_the_wheel_installs_one_package(wheel: Path):
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {re.sub(r"-.*", "", top) for top in tops} == {"agewell"}


@dataclass(frozen=True)
class Installing:
    """A bare environment that pip fills meanwhile."""

    folder: Path
    process: subprocess.Popen[str]

    def bin(self) -> Path:
        """The folder of its programs, once pip has ended."""
        said = self.process.communicate(timeout=240)[0]
        assert self.process.returncode == 0, said
        return self.folder / "bin"


@pytest.fixture(scope="module")
def installing(
    wheel: Path, source: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Installing]]:
    """README's command for a producer, on every Python there is, all at once."""
    started = {}
    for version in VERSIONS:
        if (python := interpreter(version)) is None:
            continue
        folder = tmp_path_factory.mktemp("bare") / version
        line = f"{python} -m venv {folder} && {folder}/bin/pip install -q --constraint {{}} {wheel}"
        started[version] = Installing(
            folder,
            subprocess.Popen(
                ["sh", "-c", line.format(source / "constraints.txt")],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            ),
        )
    yield started
    for each in started.values():
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_the_installed_producer_works(
    version: str, installing: dict[str, Installing], stack: Stack, photos: Path, tmp_path: Path
):
    if version not in installing:
        pytest.skip(f"python{version} is not installed (pyenv install {version})")
    for name in PACKAGES:  # somebody else's, in the current directory
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    bare = installing[version].bin()
    env = stack.env | {"PATH": f"{bare}:/usr/bin:/bin"}
    env.pop("PYTHONPATH", None)

    def run(*command: str) -> str:
        done = subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "enqueue" in run("agewell", "--help")
    run("agewell", "enqueue", "hsv", str(photos / "bird.jpg"), "--out", "out")
    photo = cv2.imread(str(photos / "bird.jpg"))
    made = cv2.imread(str(tmp_path / "out" / "bird.hsv.png"))
    assert (made == cv2.cvtColor(photo, cv2.COLOR_BGR2HSV)).all()
    assert run("python", "-c", PROGRAM, str(photos / "bird.jpg")).startswith("done ")
    assert str(bare.parent) in run("python", "-c", "import agewell; print(agewell.__file__)")


@pytest.mark.slow
def test_up_names_the_extra_that_a_bare_installation_lacks(
    installing: dict[str, Installing], stack: Stack, tmp_path: Path
):
    bare = next(iter(installing.values())).bin()
    env = stack.env | {"AGEWELL_STATE_DIR": str(tmp_path)}
    done = subprocess.run(
        [bare / "agewell", "up"], env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "pip install 'agewell[stack]'" in done.stderr
