"""The script that installs services of systemd, below a directory, and the units it writes."""

import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from agewell.shared.settings import Settings
from tests.support.paths import ROOT
from tests.support.programs import require

SCRIPT = ROOT / "deploy" / "systemd" / "install.py"
VENV = Path(sys.executable).parent.parent
ALL = "cv,infer,upkeep,beat,flower,metrics"
EXPOSED_MAX = 2.0
"""systemd's own scale goes from 0 to 10, and calls up to 2 OK."""


def install(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, SCRIPT, *words]
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """An environment outside of any home directory, as the services need it."""
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    for name in ("celery", "python", "agewell"):
        (tmp_path / "venv" / "bin" / name).symlink_to(VENV / "bin" / name)
    return tmp_path / "venv"


@pytest.fixture
def root(tmp_path: Path, venv: Path) -> Path:
    done = install("--root", tmp_path / "root", "--venv", venv, "--services", ALL)
    assert done.returncode == 0, done.stderr
    return tmp_path / "root"


def units(root: Path) -> list[Path]:
    return sorted((root / "etc" / "systemd" / "system").iterdir())


def test_systemd_finds_no_fault_in_the_units(root: Path):
    found = units(root)
    assert len(found) == len(ALL.split(",")) + 2
    command = [require("systemd-analyze"), "verify", *map(str, found)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # Units of the machine itself may have faults.
    assert "agewell" not in done.stdout + done.stderr


def test_the_services_are_confined(root: Path):
    for unit in units(root):
        if unit.suffix == ".service":
            command = [require("systemd-analyze"), "security", "--offline=true", str(unit)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            exposed = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
            assert exposed is not None, done.stderr
            assert float(exposed[1]) <= EXPOSED_MAX, unit


def test_the_environment_file_is_private_and_its_settings_are_valid(
    root: Path, monkeypatch: pytest.MonkeyPatch
):
    path = root / "etc" / "agewell" / "agewell.env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    for name, value in (line.split("=", 1) for line in lines):
        monkeypatch.setenv(name, value)
    found = Settings.load()
    assert found.redis_url is not None
    password = re.search(r"user agewell on >(\S+)", (path.parent / "redis_users.acl").read_text())
    assert password is not None
    assert f"redis://agewell:{password[1]}@127.0.0.1:6379/0" == found.redis_url.get_secret_value()
    assert found.flower_password is not None


def test_a_second_installation_keeps_passwords_and_settings(root: Path, venv: Path):
    env = root / "etc" / "agewell" / "agewell.env"
    env.write_text(env.read_text() + "AGEWELL_LOG_LEVEL=DEBUG\n")
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    done = install("--root", root, "--venv", venv, "--services", ALL)
    assert done.returncode == 0
    assert f"kept: {env}" in done.stdout
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_an_uninstallation_leaves_settings_and_no_units(root: Path):
    assert install("--root", root, "--uninstall").returncode == 0
    assert units(root) == []
    assert (root / "etc" / "agewell" / "agewell.env").exists()
    assert "nothing to uninstall" in install("--root", root, "--uninstall").stdout


def test_a_further_host_gets_only_its_services(tmp_path: Path, venv: Path):
    url = "redis://agewell:secret@redis.example:6379/0"
    words = ("--root", tmp_path, "--venv", venv, "--services", "cv", "--redis-url", url)
    assert install(*words).returncode == 0
    assert [path.name for path in units(tmp_path)] == ["agewell-cv.service", "agewell.target"]
    assert f"AGEWELL_REDIS_URL={url}\n" in (tmp_path / "etc/agewell/agewell.env").read_text()
    assert not (tmp_path / "etc/agewell/redis.conf").exists()


def test_a_dry_run_writes_nothing(tmp_path: Path, venv: Path):
    done = install("--dry-run", "--root", tmp_path / "none", "--venv", venv)
    assert done.returncode == 0
    assert "would run: systemctl daemon-reload" in done.stdout
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--services", "cv,cvv"), "--services cv,cvv: choose from cv, infer,"),
        (("--venv", "/nowhere", "--root", "/x"), "--venv /nowhere: there is no bin/celery"),
        (("--prefix", "/home/me/venv", "--root", "/x"), "the services see no home directories"),
    ],
)
def test_a_bad_option_is_named(words: tuple[str, ...], said: str):
    done = install("--dry-run", *words)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
