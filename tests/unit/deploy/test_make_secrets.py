"""deploy/make_secrets.py: what it writes beside the secrets, and what it keeps."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that was made with umask 077."""
    deploy = tmp_path / "deploy"
    for name in ("prometheus", "grafana/dashboards"):
        (deploy / name).mkdir(parents=True)
        (deploy / name / "some.yml").touch(0o600)
    (deploy / "make_secrets.py").write_text((ROOT / "deploy" / "make_secrets.py").read_text())
    for path in deploy.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return tmp_path


def make(checkout: Path) -> str:
    command = [sys.executable, str(checkout / "deploy" / "make_secrets.py")]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_results_belong_to_the_owner_of_the_checkout(checkout: Path):
    make(checkout)
    lines = (checkout / ".env").read_text().splitlines()
    assert lines == [f"HOST_UID={os.getuid()}", f"HOST_GID={os.getgid()}"]


def test_what_is_in_the_file_already_is_kept(checkout: Path):
    (checkout / ".env").write_text("CV_MEMORY=5g\nHOST_UID=4711")
    make(checkout)
    make(checkout)
    lines = (checkout / ".env").read_text().splitlines()
    assert lines == ["CV_MEMORY=5g", "HOST_UID=4711", f"HOST_GID={os.getgid()}"]


def test_secrets_are_kept(checkout: Path):
    make(checkout)
    secrets = sorted((checkout / "deploy" / "secrets").iterdir())
    before = [path.read_text() for path in secrets]
    make(checkout)
    assert [path.read_text() for path in secrets] == before


def test_configuration_can_be_read_by_the_users_of_containers(checkout: Path):
    make(checkout)
    for name in ("prometheus", "grafana", "grafana/dashboards"):
        folder = checkout / "deploy" / name
        assert folder.stat().st_mode & 0o777 == 0o755
        assert all(path.stat().st_mode & 0o044 == 0o044 for path in folder.rglob("*"))
    assert (checkout / "deploy" / "secrets").stat().st_mode & 0o777 == 0o700
