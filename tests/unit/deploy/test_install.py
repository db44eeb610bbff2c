"""deploy/systemd/install.py below a directory: what it writes, and which options it refuses."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

INSTALL = ROOT / "deploy" / "systemd" / "install.py"
ETC = "etc/agewell"


def install(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(INSTALL), "--root", str(root), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def files(root: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (root / ETC).rglob("*") if path.is_file()}


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine on which agewell was installed, in a folder with a space."""
    root = tmp_path / "a machine"
    root.mkdir()
    done = install(root, "--redis-port", "6380")
    assert done.returncode == 0, done.stderr
    return root


@pytest.mark.parametrize("options", [(), ("--redis-port", "6380")])
def test_a_second_run_changes_nothing(machine: Path, options: tuple[str, ...]):
    before = files(machine)
    assert install(machine, *options).returncode == 0
    assert files(machine) == before
    assert "port 6380" in before["redis.conf"]
    assert ":6380/0" in before["agewell.env"]


@pytest.mark.parametrize(
    ("options", "file"),
    [
        (("--redis-url", "redis://agewell:secret@10.0.0.5/0"), "agewell.env"),
        (("--redis-port", "6381"), "redis.conf"),
    ],
)
def test_an_option_that_a_kept_file_contradicts_is_refused(
    machine: Path, options: tuple[str, ...], file: str
):
    before = files(machine)
    done = install(machine, *options)
    assert done.returncode == 1
    assert file in done.stderr
    assert "secret" not in done.stderr
    assert files(machine) == before
