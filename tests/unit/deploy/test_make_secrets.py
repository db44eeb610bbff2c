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


def secrets_of(checkout: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (checkout / "deploy" / "secrets").iterdir()}


@pytest.mark.parametrize(
    ("before", "added"),
    [
        ("export HOST_UID=7\nHOST_GID: 8\n", b""),
        ("  HOST_UID = 7\r\nHOST_GID=8\r\nCV_CPUS=1\r\n", b""),
        ("# HOST_UID=7\nHOST_GID=8\n", f"HOST_UID={os.getuid()}\n".encode()),
        ("AUTHOR=M\xfcller\nHOST_UID=7\nHOST_GID=8\n", b""),
    ],
)
def test_every_byte_of_the_user_is_kept(checkout: Path, before: str, added: bytes):
    (checkout / ".env").write_bytes(before.encode("latin-1"))
    make(checkout)
    assert (checkout / ".env").read_bytes() == before.encode("latin-1") + added


@pytest.mark.parametrize("content", [None, "", "\n"])
@pytest.mark.parametrize("name", ["agewell_redis_url", "redis_users.acl"])
def test_a_secret_that_is_missing_or_empty_is_made_for_the_other_one(
    checkout: Path, name: str, content: str | None
):
    """Redis with an empty file of users lets everybody in."""
    make(checkout)
    before = secrets_of(checkout)
    path = checkout / "deploy" / "secrets" / name
    path.unlink() if content is None else path.write_text(content)
    assert f"made: {path}" in make(checkout)
    assert secrets_of(checkout) == before


def test_users_that_somebody_added_are_kept(checkout: Path):
    make(checkout)
    folder = checkout / "deploy" / "secrets"
    users = (folder / "redis_users.acl").read_text() + "user mine on >secret ~* +get\n"
    (folder / "redis_users.acl").write_text(users)
    (folder / "agewell_redis_url").unlink()
    make(checkout)
    assert (folder / "redis_users.acl").read_text() == users


def test_modes_by_which_containers_cannot_read_secrets_are_mended(checkout: Path):
    make(checkout)
    folder = checkout / "deploy" / "secrets"
    folder.chmod(0o755)
    for path in folder.iterdir():
        path.chmod(0o600)
    make(checkout)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may act for somebody else")
def test_sudo_leaves_the_files_to_the_owner_of_the_checkout(checkout: Path):
    for path in (checkout, *checkout.rglob("*")):
        os.chown(path, 4711, 4712)
    make(checkout)
    made = (checkout / ".env", *(checkout / "deploy").rglob("*"))
    assert {(path.stat().st_uid, path.stat().st_gid) for path in made} == {(4711, 4712)}


def test_what_it_cannot_write_is_an_error_of_one_line(checkout: Path):
    (checkout / ".env").mkdir()
    command = [sys.executable, str(checkout / "deploy" / "make_secrets.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "Is a directory" in done.stderr


def test_help_writes_nothing(checkout: Path):
    command = [sys.executable, str(checkout / "deploy" / "make_secrets.py"), "--help"]
    subprocess.run(command, capture_output=True, check=True, cwd=checkout)
    assert {path.name for path in checkout.iterdir()} == {"deploy"}
