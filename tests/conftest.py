"""Real servers for the tests, each started here, on a private socket or a free port."""

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from agewell.producer.up.embedded_redis import EmbeddedRedis, embedded_redis
from agewell.shared.settings import Settings
from tests.support import groups
from tests.support.programs import SERVERS, require_server


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # one of several processes
        groups.put_longest_first(items)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    if hasattr(item.config, "workerinput"):
        groups.end_stacks(item, nextitem)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> groups.GroupScheduling:
    return groups.GroupScheduling(config, log)


@pytest.fixture(autouse=True)
def level_of_logs() -> Iterator[None]:
    """A Celery worker in the process of a test sets it, and the next test expects warnings."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose path leaves room for a unix socket's name. pytest's own are too long."""
    with tempfile.TemporaryDirectory(prefix="aw-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session", params=SERVERS)
def redis_server(request) -> Iterator[EmbeddedRedis]:
    """One server after the other. A test is skipped if its server is not installed."""
    binary = require_server(request.param)
    with (
        tempfile.TemporaryDirectory(prefix="aw-") as folder,
        embedded_redis(Path(folder), binary) as server,
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
