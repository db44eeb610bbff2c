"""kombu's tests, from its source distribution: the wheel has none."""

import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

from tests.support.programs import absent

FETCH_TIMEOUT_S = 120


def fetch_suite(folder: Path) -> Path:
    """Download the tests of the installed kombu with pip. If that fails, the test is skipped.

    Args:
        folder: the tests are unpacked here.

    Returns:
        The folder to run pytest in. kombu itself is not in it, so the installed one is tested.
    """
    release = f"kombu-{version('kombu')}"
    archive = _download(folder, release.replace("-", "=="))
    with tarfile.open(archive) as source:
        wanted = [
            each
            for each in source
            if each.name == f"{release}/setup.cfg" or each.name.startswith(f"{release}/t/")
        ]
        source.extractall(folder, wanted, filter="data")
    return folder / release


def _download(folder: Path, requirement: str) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--no-binary", "kombu", "--retries", "1", "--dest", str(folder), requirement]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False
    )
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        absent(f"pip cannot fetch the source distribution of {requirement}: {errors[-1:]}")
    [archive] = folder.glob("*.tar.gz")
    return archive
