"""A Docker engine for the tests: one of their own, or the one that DOCKER_HOST names.

Their own runs as root. It changes no firewall rule and makes no network of its own, and its
images and layers stay in one folder from run to run.
"""

import contextlib
import fcntl
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.stack import until

TOOLS = ("dockerd", "docker", "mmdebstrap", "setpriv")
KEPT_LAYERS = "10GB"
"""Layers that stay from run to run, the latest ones."""

SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
"""Debian's docker, not another one that comes first on somebody's PATH."""


def folder() -> Path:
    """Where images, layers and logs stay from run to run: CONTAINERS_DIR, or below /var/tmp.

    An ordinary user has to reach it: the stack runs as one.
    """
    return Path(os.environ.get("CONTAINERS_DIR", "/var/tmp/agewell-containers"))


def cannot_run() -> str | None:
    """Return why there can be no engine here, or None."""
    if os.environ.get("DOCKER_HOST"):
        return None
    missing = [tool for tool in TOOLS if shutil.which(tool, path=SYSTEM_PATH) is None]
    if os.geteuid() != 0:
        return "an engine of the tests' own needs root. Set DOCKER_HOST to use one that runs"
    if missing:
        return f"not installed: {', '.join(missing)} (tests/containers/install_docker.sh)"
    return None


@dataclass(frozen=True)
class Engine:
    """A running Docker engine."""

    host: str
    """DOCKER_HOST: where it listens."""
    folder: Path
    is_own: bool
    """Started by the tests: it has no registry, and containers are built in the host's network."""

    @property
    def env(self) -> dict[str, str]:
        """The environment of `docker`."""
        path = SYSTEM_PATH if self.is_own else os.environ["PATH"]
        return {**os.environ, "DOCKER_HOST": self.host, "PATH": path}

    def docker(self, *arguments: str, timeout_s: float = 300) -> str:
        """The output of a docker command, which must succeed."""
        done = subprocess.run(
            ["docker", *arguments],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def get(self, path: str) -> Any:
        """The answer of the engine's own API, which tells more than the command."""
        connection = http.client.HTTPConnection("localhost", timeout=30)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self.host.removeprefix("unix://"))
        with contextlib.closing(connection):
            connection.request("GET", path)
            return json.load(connection.getresponse())

    def processor_s(self, container: str) -> float:
        """Processor time that a container's processes have used, in seconds."""
        return float(self._stats(container)["cpu_stats"]["cpu_usage"]["total_usage"]) / 1e9

    def memory_mb(self, container: str) -> float:
        """Memory of a container's processes, without the files that the kernel caches."""
        memory = self._stats(container)["memory_stats"]
        cached = memory["stats"].get("inactive_file", memory["stats"].get("total_inactive_file", 0))
        return float(memory["usage"] - cached) / 1e6

    def _stats(self, container: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(
            f"/containers/{container}/stats?stream=false&one-shot=true"
        )
        return found


@contextlib.contextmanager
def running_engine() -> Iterator[Engine]:
    """Yield an engine. One of the tests' own is ended, and all that ran in it removed."""
    place = folder()
    place.mkdir(parents=True, exist_ok=True)
    if os.environ.get("DOCKER_HOST"):
        yield Engine(os.environ["DOCKER_HOST"], place, is_own=False)
        return
    with (place / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pytest.fail(f"another run uses {place}; wait for it, or set CONTAINERS_DIR")
        _end_orphan(place)
        with _own_engine(place) as engine:
            _remove_containers(engine)  # of a run that was killed
            try:
                yield engine
            finally:
                _remove_containers(engine)


@contextlib.contextmanager
def _own_engine(place: Path) -> Iterator[Engine]:
    address = f"unix://{place}/docker.sock"
    command = ["dockerd", f"--data-root={place}/data", f"--exec-root={place}/exec"]
    command += [f"--pidfile={place}/dockerd.pid", f"--host={address}"]
    command += ["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-masq=false"]
    command += ["--ip-forward=false"]
    env = {**os.environ, "PATH": SYSTEM_PATH}
    log_of = place / "dockerd.log"
    with log_of.open("wb") as log:
        process = subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    try:
        engine = Engine(address, place, is_own=True)
        until(lambda: process.poll() is not None or _answers(engine), 60, log_of.read_text)
        if process.poll() is not None:
            pytest.skip(f"no engine can start here: {log_of.read_text()[-1000:]}")
        yield engine
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _end_orphan(place: Path) -> None:
    """End the engine of a run that was killed."""
    try:
        pid = int((place / "dockerd.pid").read_text())
        if f"--data-root={place}/data" in Path(f"/proc/{pid}/cmdline").read_text():
            os.kill(pid, signal.SIGTERM)
            until(lambda: not Path(f"/proc/{pid}").exists(), 60, lambda: f"{pid} ends")
    except (OSError, ValueError):
        return  # there is none


def _answers(engine: Engine) -> bool:
    done = subprocess.run(["docker", "info"], env=engine.env, capture_output=True, check=False)
    return done.returncode == 0


def _remove_containers(engine: Engine) -> None:
    """Remove containers, networks and volumes. Images and layers stay."""
    if containers := engine.docker("ps", "--all", "--quiet").split():
        engine.docker("rm", "--force", "--volumes", *containers)
    engine.docker("network", "prune", "--force")
    engine.docker("volume", "prune", "--all", "--force")
    engine.docker("image", "prune", "--force")  # those that a newer build has replaced
    engine.docker("builder", "prune", "--force", f"--keep-storage={KEPT_LAYERS}")
