"""The steps of an installation: each says what it does, and does it unless it is a dry run."""

import os
import pwd
import shlex
import shutil
import subprocess
import sys
from pathlib import Path


class InstallError(Exception):
    """The installation cannot go on. The text says why, and what to do."""


def memory_bytes() -> int:
    """Return the memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


class Steps:
    """Changes of one machine, or of the files below a directory."""

    def __init__(self, root: Path, *, is_dry: bool) -> None:
        self._root = root
        self._is_dry = is_dry
        self.is_live = root == Path("/") and not is_dry
        """True if users and services of this machine are changed."""

    def at(self, path: Path) -> Path:
        """Return where a path is, below the root."""
        return self._root / path.relative_to("/")

    def say(self, text: str) -> None:
        """Tell the user something."""
        sys.stdout.write(f"{text}\n")

    def require_root_and_systemd(self) -> None:
        """Check that this machine can be changed.

        Raises:
            InstallError: it cannot.
        """
        if os.geteuid() != 0:
            raise InstallError("only root may install services: use sudo, or try --dry-run")
        if not Path("/run/systemd/system").is_dir():
            raise InstallError(
                "systemd does not run here; use docker compose or `agewell up` instead"
            )

    def is_active(self, unit: str) -> bool:
        """Return True if a service runs."""
        asked = ("systemctl", "is-active", "--quiet", unit)
        return subprocess.run(asked, check=False).returncode == 0

    def run(self, *command: str, always: bool = False) -> None:
        """Run a command of this machine, or only name it. Below a root none runs unless `always`.

        Raises:
            InstallError: it failed.
        """
        does_run = self.is_live or (always and not self._is_dry)
        self.say(f"{'run' if does_run else 'would run'}: {shlex.join(command)}")
        if does_run and subprocess.run(command, check=False).returncode != 0:
            raise InstallError(f"failed: {shlex.join(command)}")

    def user(self, name: str) -> None:
        """Make a system user without a login."""
        try:
            pwd.getpwnam(name)
        except KeyError:
            home = f"/var/lib/{name}"
            shell = "/usr/sbin/nologin"
            options = ("--system", "--user-group", "--home-dir", home, "--shell", shell)
            self.run("useradd", *options, name)

    def folder(self, path: Path, mode: int) -> None:
        """Make a directory."""
        if not self._is_dry:
            self.at(path).mkdir(mode=mode, parents=True, exist_ok=True)

    def write(self, path: Path, text: str, mode: int, owner: str = "root") -> None:
        """Write a file, unless it has this text already."""
        target = self.at(path)
        if target.exists() and target.read_text() == text:
            return
        self.say(f"{'would write' if self._is_dry else 'write'}: {target}")
        if self._is_dry:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        # Nobody may read a password between the first byte and chmod.
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        if self.is_live:
            shutil.chown(target, owner, owner)
        target.chmod(mode)

    def write_once(self, path: Path, text: str, mode: int, owner: str = "root") -> None:
        """Write a file if there is none, and say so otherwise."""
        if self.at(path).exists():
            self.say(f"kept: {self.at(path)}")
        else:
            self.write(path, text, mode, owner)

    def copy(self, source: Path, target: Path, mode: int, owner: str) -> None:
        """Copy a file, unless the copy has its text already."""
        self.write(target, self.read(source), mode, owner)

    def read(self, path: Path) -> str:
        """Return a file's text. A dry run may not have written it."""
        return self.at(path).read_text() if self.at(path).exists() or not self._is_dry else "..."

    def remove(self, path: Path) -> None:
        """Remove a file."""
        self.say(f"{'would remove' if self._is_dry else 'remove'}: {self.at(path)}")
        if not self._is_dry:
            self.at(path).unlink()
