"""docker-compose.yml as an ordinary user runs it: their checkout, their commands."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.containers.base_images import make_base_images
from tests.containers.engine import Engine
from tests.support.paths import ROOT
from tests.support.stack import until

USER = 1000
"""The number of the user who runs the stack. It is neither root nor the user of the images."""

CORE = ("redis", "cv", "upkeep", "beat", "flower")
"""The services that `docker compose up` starts without any profile."""


def checkout(place: Path) -> Path:
    """Copy the project, with what is not committed, as an ordinary user with umask 077 has it."""
    target = place / "user" / "agewell"
    shutil.rmtree(place / "user", ignore_errors=True)
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, done.stdout.split("\0")):
        source, copy = ROOT / name, target / name
        if not source.is_symlink() and not source.exists():
            continue  # deleted, and not committed yet
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, copy, follow_symlinks=False)
    for path in (place / "user", *(place / "user").rglob("*")):
        if os.geteuid() == 0:
            os.chown(path, USER, USER, follow_symlinks=False)
        if not path.is_symlink():
            path.chmod(0o700 if path.is_dir() or path.stat().st_mode & 0o100 else 0o600)
    return target


class Stack:
    """The compose project of one checkout."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.folder = folder
        self.spec: dict[str, Any] = yaml.safe_load((folder / "docker-compose.yml").read_text())
        self.flower_port, self.prometheus_port = _free_port(), _free_port()
        self.up_s = 0.0
        """How long the first `docker compose up` took, in seconds, until all were healthy."""
        self._files = ["docker-compose.yml"]
        self._env = {
            **engine.env,
            "HOME": str(folder.parent),
            "COMPOSE_PROJECT_NAME": "agewell",
            "FLOWER_PORT": str(self.flower_port),
            "PROMETHEUS_PORT": str(self.prometheus_port),
            "BUILDKIT_PROGRESS": "plain",
        }
        if engine.is_own:
            make_base_images(engine, self.spec)
            self._env["TORCH_INDEX_URL"] = ""  # pip of this machine finds torch by itself
            self._build_in_the_hosts_network()
            self._let_the_user_in()
        self.as_user("python3", "deploy/make_secrets.py")

    def _build_in_the_hosts_network(self) -> None:
        """An engine without firewall rules gives containers no way out. Builds need one."""
        services = self.spec["services"]
        built = [name for name in services if "build" in services[name]]
        override = {"services": {name: {"build": {"network": "host"}} for name in built}}
        (self.folder.parent / "build.yml").write_text(yaml.safe_dump(override))
        self._files.append("../build.yml")

    def _let_the_user_in(self) -> None:
        """The socket of the engine, as members of the group docker have it."""
        path = self.engine.host.removeprefix("unix://")
        os.chown(path, 0, USER)
        Path(path).chmod(0o660)

    def as_user(
        self, *command: str, timeout_s: float = 600, check: bool = True, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as the user, in the checkout."""
        done = subprocess.run(
            [*self._switch(), *command],
            cwd=cwd or self.folder,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done

    def compose(
        self, *arguments: str, timeout_s: float = 600, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run `docker compose` as the user."""
        return self.as_user(*self._compose(), *arguments, timeout_s=timeout_s, check=check)

    def _compose(self) -> list[str]:
        files = [word for file in self._files for word in ("--file", file)]
        return ["docker", "compose", "--ansi", "never", *files]

    @staticmethod
    def _switch() -> list[str]:
        """Root becomes the user. Anybody else is the user."""
        switch = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
        return switch if os.geteuid() == 0 else []

    @contextlib.contextmanager
    def files(self, *more: str) -> Iterator[None]:
        """Read further compose files too."""
        before = self._files
        self._files = [*before, *more]
        try:
            yield
        finally:
            self._files = before

    def producer(
        self, *arguments: str, timeout_s: float = 120, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """`docker compose run --rm producer ...`, as the documentation has it."""
        command = ("run", "--rm", "--no-TTY", "producer", *arguments)
        return self.compose(*command, timeout_s=timeout_s, check=check)

    def build(self, *services: str) -> float:
        """Build images, and return the seconds that it took."""
        began = time.monotonic()
        self.compose("build", *services, timeout_s=1500)
        return time.monotonic() - began

    def up(self, *arguments: str, services: Sequence[str] = CORE, within_s: float = 120) -> float:
        """`docker compose up --detach`, and return after how many seconds all are healthy."""
        began = time.monotonic()
        self.compose("up", "--detach", *arguments)
        self.wait_healthy(*services, within_s=within_s)
        return time.monotonic() - began

    def wait_healthy(self, *services: str, within_s: float = 120) -> None:
        """Wait until the engine calls all containers of some services healthy."""
        until(
            lambda: all(self.health(each) == "healthy" for each in services),
            within_s,
            lambda: {each: (self.health(each), self.logs(each)[-1500:]) for each in services},
        )

    def health(self, service: str, number: int = 1) -> str:
        """A container's health, as the engine tells it."""
        state = self.engine.get(f"/containers/{self.name(service, number)}/json").get("State")
        if state is None:
            return "no such container"
        return str(state["Health"]["Status"] if state["Running"] else state["Status"])

    @staticmethod
    def name(service: str, number: int = 1) -> str:
        """The name of a container of a service."""
        return f"agewell-{service}-{number}"

    def logs(self, service: str) -> str:
        """All that a container of a service has written."""
        done = self.compose("logs", "--no-log-prefix", service, check=False)
        return done.stdout + done.stderr

    def inside(self, service: str, *command: str) -> str:
        """The output of a command in a service's container."""
        return self.engine.docker("exec", self.name(service), *command)

    def cli(self, *arguments: str) -> list[Any]:
        """The JSON documents of one of agewell's commands, run in the worker's container."""
        lines = self.inside("cv", "agewell", *arguments, "--json").splitlines()
        return [json.loads(line) for line in lines]

    def queue(self, name: str = "cv") -> dict[str, int]:
        """How many jobs wait in a queue, run and are scheduled, by name."""
        code = (
            "from agewell.shared.queue.status import queue_status\n"
            "from agewell.shared.redis.clock import redis_now\n"
            "from agewell.workers.process.context import context\n"
            "import json\n"
            "tools = context()\n"
            "found = queue_status(tools.client, tools.settings, redis_now(tools.client))\n"
            f"[each] = [each for each in found if each.queue == {name!r}]\n"
            "print(json.dumps({'waiting': sum(level.waiting for level in each.levels),\n"
            "    'reserved': each.reserved, 'scheduled': each.scheduled}))"
        )
        found: dict[str, int] = json.loads(self.inside("upkeep", "python", "-c", code))
        return found

    def load(self, *arguments: object, timeout_s: float = 600) -> dict[str, int]:
        """Run `tests.containers.load` in the producer's image, and return what it has counted."""
        process = self.start_load(*arguments)
        output, _ = process.communicate(timeout=timeout_s)
        assert process.returncode == 0, output
        found: dict[str, int] = json.loads(output.splitlines()[-1])
        return found

    def start_load(self, *arguments: object) -> subprocess.Popen[str]:
        """Start `tests.containers.load`. Its last line is what it has counted."""
        command = ("run", "--rm", "--no-TTY", "--entrypoint", "python", "producer")
        load = ("-m", "tests.containers.load", *map(str, arguments))
        return subprocess.Popen(
            [*self._switch(), *self._compose(), *command, *load],
            cwd=self.folder,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def down(self) -> None:
        """Remove the containers, the network and the volumes."""
        self.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "5")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
