"""The files by which a part of the stack shows that it works, and the check that reads them."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agewell.shared.settings import Settings
from agewell.workers.monitoring import health
from agewell.workers.process import pulse


def test_a_part_is_healthy_for_as_long_as_it_said(tmp_path: Path):
    directory = tmp_path / "health"
    assert health.fault_of("cv", directory)
    pulse.note_healthy(directory, "cv", 30)
    assert health.fault_of("cv", directory) is None
    assert health.fault_of("infer", directory)
    os.utime(directory / "cv", (time.time() - 7, time.time() - 7))
    assert "7 s ago" in (health.fault_of("cv", directory) or "")


def test_without_the_setting_nothing_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    assert Settings().health_dir is None
    pulse.note_healthy(None, "cv")
    assert not list(tmp_path.iterdir())


def check(part: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agewell.workers.monitoring.health", part]
    env = {**{key: value for key, value in os.environ.items() if "AGEWELL" not in key}, **env}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_the_check_says_how_to_use_it(tmp_path: Path):
    assert (done := check("cv")).returncode == 2
    assert "AGEWELL_HEALTH_DIR" in done.stderr
    assert (done := check("cw", AGEWELL_HEALTH_DIR=str(tmp_path))).returncode == 2
    assert "usage" in done.stderr
    assert (done := check("cv", AGEWELL_HEALTH_DIR=str(tmp_path))).returncode == 1
    assert "has not started" in done.stdout


def test_the_check_loads_no_library():
    """Containers run it every 30 seconds, and libraries took nine tenths of its time."""
    code = "import sys; import agewell.workers.monitoring.health; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"redis", "celery", "pydantic", "numpy"} & set(done.stdout.split())
