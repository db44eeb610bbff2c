"""A machine that systemd has booted: a container of it over a copy of this machine's files.

The copy is an overlay in memory, so nothing that happens in it stays. It has a network of its own.
"""

import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.support.paths import ROOT
from tests.support.programs import require

BOOT_S = 60.0
RUN_S = 120.0
VENV = Path("/opt/agewell")
PYTHON = Path("/opt/python")
PROGRAMS = {"celery": "celery.__main__", "agewell": "agewell.producer.__main__"}
PROGRAM = f"""\
#!{VENV}/bin/python
from {{module}} import main
if __name__ == "__main__":
    main()
"""
MASKED = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "containerd.service",
    "docker.service",
    "docker.socket",
    "redis-server.service",
)


class Machine:
    """A booted machine."""

    def __init__(self, root: Path, pid: int) -> None:
        self.root = root
        self._pid = pid

    def run(self, *command: object, check: bool = True) -> str:
        """Run a command in the machine as root. Returns its output."""
        enter = ("nsenter", f"--target={self._pid}", "--mount", "--pid", "--net", "--uts", "--ipc")
        done = subprocess.run(
            [*enter, *map(str, command)],
            capture_output=True,
            text=True,
            timeout=RUN_S,
            cwd="/",
            check=False,
        )
        assert done.returncode == 0 or not check, (command, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def show(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).strip()

    def log(self, unit: str) -> str:
        """Return what a unit has logged."""
        return self.run("journalctl", "--unit", unit, "--no-pager", "--output=cat")


@contextmanager
def booted(folder: Path) -> Iterator[Machine]:
    """Boot a machine, or skip the test if that is not possible here."""
    _require_boot()
    root, memory = folder / "root", folder / "memory"
    for each in (root, memory):
        each.mkdir()
    _mount("-t", "tmpfs", "tmpfs", memory)
    try:
        (memory / "upper").mkdir()
        (memory / "work").mkdir()
        layers = f"lowerdir=/,upperdir={memory}/upper,workdir={memory}/work"
        _mount("-t", "overlay", "overlay", "-o", layers, root)
        try:
            _make_venv(root)
            _mask(root)
            with _running(root, folder / "boot.log") as machine:
                yield machine
        finally:
            _call("umount", root)
    finally:
        _call("umount", memory)


def _require_boot() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can boot a container with systemd")
    require("systemd-nspawn")
    require("nsenter")


def _make_venv(root: Path) -> None:
    """Give the machine this Python and its packages, outside of any home directory."""
    venv = root / VENV.relative_to("/")
    packages = venv / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "here.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n")
    (venv / "pyvenv.cfg").write_text(f"home = {PYTHON}/bin\n")
    (venv / "bin").mkdir()
    # A Python with a shared library of its own finds it here.
    (root / "etc/ld.so.conf.d/000-agewell.conf").write_text(f"{PYTHON}/lib\n")
    for name in ("python", "python3"):
        (venv / "bin" / name).symlink_to(PYTHON / "bin" / "python3")
    for name, module in PROGRAMS.items():
        program = venv / "bin" / name
        program.write_text(PROGRAM.format(module=module))
        program.chmod(0o755)


def _mask(root: Path) -> None:
    """Keep services of this machine from starting in the copy."""
    for name in MASKED:
        link = root / "etc" / "systemd" / "system" / name
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")


@contextmanager
def _running(root: Path, log: Path) -> Iterator[Machine]:
    options = ("--boot", "--register=no", "--keep-unit", "--private-network")
    places = (f"--directory={root}", f"--bind-ro={sys.base_prefix}:{PYTHON}")
    command = ["systemd-nspawn", *places, *options, f"--machine=agewell-{os.getpid()}"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield _wait_booted(root, process, log)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_booted(root: Path, process: "subprocess.Popen[bytes]", log: Path) -> Machine:
    deadline = time.monotonic() + BOOT_S
    while time.monotonic() < deadline and process.poll() is None:
        for child in psutil.Process(process.pid).children():
            machine = Machine(root, child.pid)
            said = machine.run("systemctl", "is-system-running", check=False).strip()
            if said.endswith(("running", "degraded")):
                machine.run("ldconfig")
                return machine
        time.sleep(0.2)
    pytest.skip(f"systemd does not boot here: {log.read_text(errors='replace')[-500:]}")


def _call(*command: object) -> None:
    subprocess.run([*map(str, command)], check=True, capture_output=True)


def _mount(*arguments: object) -> None:
    """Mount, or skip the test on a machine whose kernel or container refuses it."""
    done = subprocess.run(
        ["mount", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no machine to boot: {done.stderr.strip()}")
