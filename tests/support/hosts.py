"""Several machines on this one: network namespaces, each with a wire to the one that has Redis."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agewell.producer.up.child_process import start_child
from agewell.producer.up.embedded_redis import find_server
from tests.support.programs import missing
from tests.support.stack import COMMAND

PORT = 6379
PASSWORD = "of-the-test-alone"


def ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr}")


class Network:
    """A hub with Redis, worker hosts, and the programs on them."""

    def __init__(self, folder: Path, hosts: list[str]) -> None:
        self._folder = folder
        self._prefix = f"aw{os.getpid()}"
        self.hosts = hosts
        self._processes: list[subprocess.Popen[bytes]] = []
        self._number = {name: number for number, name in enumerate(hosts, start=1)}

    def build(self) -> None:
        for name in ("hub", *self.hosts):
            ip("netns", "add", self.space(name))
            ip("-n", self.space(name), "link", "set", "lo", "up")
        for name, number in self._number.items():
            wire = ["link", "add", f"to-{name}", "netns", self.space("hub"), "type", "veth"]
            ip(*wire, "peer", "name", "eth0", "netns", self.space(name))
            ends = ((self.space("hub"), f"to-{name}", 1), (self.space(name), "eth0", 2))
            for space, device, last in ends:
                ip("-n", space, "addr", "add", f"10.77.{number}.{last}/24", "dev", device)
                ip("-n", space, "link", "set", device, "up")

    def space(self, name: str) -> str:
        return f"{self._prefix}-{name}"

    def url(self, name: str) -> str:
        """Redis, as a host sees it."""
        address = f"10.77.{self._number[name]}.1" if name in self._number else "127.0.0.1"
        return f"redis://:{PASSWORD}@{address}:{PORT}/0"

    def command(self, name: str, *command: str) -> list[str]:
        return ["ip", "netns", "exec", self.space(name), *command]

    def environment(self, name: str) -> dict[str, str]:
        plain = {key: value for key, value in os.environ.items() if not key.startswith("AGEWELL_")}
        ours = {
            "AGEWELL_REDIS_URL": self.url(name),
            "AGEWELL_BLOB_URL": "redis",
            "AGEWELL_STATE_DIR": str(self._folder / name),
            "AGEWELL_CONCURRENCY": "1",
        }
        return plain | ours

    def start(self, name: str, *command: str) -> Path:
        """Start a program on a host. Returns its log."""
        log = self._folder / f"{name}-{len(self._processes)}.log"
        with log.open("wb") as file:
            process = start_child(
                self.command(name, *command), log=file, env=self.environment(name)
            )
        self._processes.append(process)
        return log

    def start_redis(self) -> None:
        listen = ["--bind", "127.0.0.1", *(f"10.77.{n}.1" for n in self._number.values())]
        options = ["--port", str(PORT), "--requirepass", PASSWORD, "--save", ""]
        self.start("hub", str(find_server()), *listen, *options, "--dir", str(self._folder))

    def start_celery(self, name: str, *arguments: str) -> Path:
        return self.start(name, sys.executable, "-m", "celery", *arguments)

    def agewell(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command("hub", str(COMMAND), *arguments),
            env=self.environment("hub"),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def redis(self, *command: str) -> str:
        """Ask Redis, from its own host."""
        client = find_server().with_name("redis-cli")
        program = str(client) if client.exists() else str(shutil.which("redis-cli"))
        done = subprocess.run(
            self.command("hub", program, "-a", PASSWORD, "--no-auth-warning", *command),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return done.stdout.strip()

    def cut(self, name: str) -> None:
        """Pull a host's plug: no packet, no reset, nothing."""
        ip("-n", self.space("hub"), "link", "set", f"to-{name}", "down")

    def mend(self, name: str) -> None:
        ip("-n", self.space("hub"), "link", "set", f"to-{name}", "up")

    def end(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                os.killpg(process.pid, 9)
                process.wait()
        for name in ("hub", *self.hosts):
            subprocess.run(["ip", "netns", "del", self.space(name)], capture_output=True)


@contextmanager
def network(folder: Path, hosts: list[str]) -> Iterator[Network]:
    """A hub and worker hosts. Skips the test if namespaces may not be made."""
    if shutil.which("ip") is None:
        pytest.skip(missing("ip"))
    found = Network(folder, hosts)
    try:
        try:
            found.build()
        except OSError as error:
            pytest.skip(f"ip netns needs root and its capabilities: {error}")
        yield found
    finally:
        found.end()
