"""A Redis that takes long to load its data is waited for, and how far it is gets said."""

import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from agewell.producer.doctor.finding import Verdict
from agewell.producer.doctor.redis import check_redis
from agewell.producer.up import embedded_redis as embedded
from agewell.producer.up.embedded_redis import embedded_redis
from agewell.shared.errors import BackendError
from agewell.shared.redis import loading as loading_module
from agewell.shared.redis.connection import connect
from agewell.shared.settings import Settings
from tests.chaos.redis_process import RedisProcess
from tests.support.programs import SERVERS, require_server
from tests.support.stack import COMMAND, environment, until

KEYS = 10_000
DELAY_US = 400
"""A key takes so long to load: four seconds in all, if the test does not cut it short."""

PATTERN = r"Redis is loading its data from the disk: \d+\.\d of \d+\.\d MiB, about \d+ s left"


@pytest.fixture(params=SERVERS)
def binary(request: pytest.FixtureRequest) -> Path | None:
    return require_server(request.param)


@pytest.fixture
def slow_data(binary: Path | None, short_path: Path) -> Path:
    """The folder of a Redis with enough in its append-only file to take seconds."""
    folder = short_path / "state" / "redis"
    with embedded_redis(folder, binary) as server, redis.Redis.from_url(server.url) as client:
        fill(client)
    return folder


def fill(client: redis.Redis, keys: int = KEYS) -> None:
    pipe = client.pipeline(transaction=False)
    for number in range(keys):
        pipe.set(f"key-{number}", b"x" * 100)
    pipe.execute()


@pytest.fixture
def slow_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_CONFIG", f"{embedded._CONFIG}key-load-delay {DELAY_US}\n")
    monkeypatch.setattr(loading_module, "REPORT_EVERY_S", 0.1)


def hurry(client: redis.Redis) -> None:
    """Have the rest of the data loaded at once. Redis 6.2 cannot be asked to."""
    with contextlib.suppress(redis.ResponseError):
        client.config_set("key-load-delay", 0)


@pytest.mark.usefixtures("slow_config")
def test_a_loading_server_is_waited_for(
    binary: Path | None, slow_data: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(embedded, "START_TIMEOUT_S", 1.0)
    said: list[str] = []
    began = time.monotonic()

    def tell(line: str) -> None:
        said.append(line)
        if len(said) > 1 and time.monotonic() - began > 1.5:
            hurry(redis.Redis(unix_socket_path=str(slow_data / "redis.sock")))

    with (
        embedded_redis(slow_data, binary, tell) as server,
        redis.Redis.from_url(server.url) as client,
    ):
        assert client.dbsize() == KEYS
        assert all(re.fullmatch(PATTERN, line) for line in said)
        server.process.kill()
        server.process.wait()
        began = time.monotonic()
        assert server.restart_if_dead(stopping=lambda: True)
        assert time.monotonic() - began < 1.0


@pytest.fixture
def loading_server(short_path: Path) -> Iterator[RedisProcess]:
    """A Redis of somebody else's, which began to load a moment ago."""
    lines = ("appendonly yes", f"key-load-delay {DELAY_US}")
    server = RedisProcess(short_path / "redis", *lines, binary=require_server("valkey"))
    with server.client() as client:
        fill(client, 10 * KEYS)
    server.end()
    server.restart(wait=False)
    with server.client() as client:
        until(lambda: _loads(client), 30, lambda: (short_path / "redis" / "log").read_text())
    yield server
    server.end()


def _loads(client: redis.Redis) -> bool:
    try:
        return bool(client.info("persistence")["loading"])
    except redis.ConnectionError:
        return False


@pytest.mark.slow
def test_worker_command_and_doctor_report_that_redis_is_loading(
    loading_server: RedisProcess, short_path: Path
):
    env = environment(short_path / "state", REDIS_URL=loading_server.url)
    settings = Settings(redis_url=loading_server.url, blob_url="redis")
    [finding] = check_redis(settings, connect(settings), time.time)
    assert (finding.verdict, finding.check) == (Verdict.PROBLEM, "redis")
    assert re.match(PATTERN, finding.found)
    log = short_path / "worker.log"
    options = ("-Q", "cv", "--pool=threads", "--concurrency=1", "--loglevel=INFO")
    with log.open("w") as file:
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "agewell.workers.cv", "worker", *options],
            env=env,
            stdout=file,
            stderr=file,
        )
    command = subprocess.Popen(
        [COMMAND, "queues"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        assert command.stderr is not None
        assert re.match(PATTERN, command.stderr.readline())
        until(lambda: "Trying again" in log.read_text(), 60, log.read_text)
        with loading_server.client() as client:
            hurry(client)
        assert command.wait(60) == 0
        until(lambda: " ready." in log.read_text(), 60, log.read_text)
        assert worker.poll() is None
    finally:
        for process in (worker, command):
            process.kill()
            process.communicate()


def test_a_replica_and_a_cluster_are_named(short_path: Path):
    master = RedisProcess(short_path / "a", "appendonly no")
    replica = RedisProcess(
        short_path / "b",
        f"replicaof 127.0.0.1 {master.port}",
        f"masterauth {master.password}",
    )
    member = RedisProcess(short_path / "c", "cluster-enabled yes")
    try:
        for server, words in ((replica, "is a replica of 127.0.0.1"), (member, "Redis Cluster")):
            settings = Settings(redis_url=server.url, blob_url="redis")
            [finding] = check_redis(settings, connect(settings), time.time)
            assert finding.verdict is Verdict.PROBLEM
            assert words in finding.found
    finally:
        for server in (master, replica, member):
            server.end()


def test_a_server_that_says_nothing_is_given_up(short_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(embedded, "START_TIMEOUT_S", 0.5)
    monkeypatch.setattr(embedded, "ANSWER_TIMEOUT_S", 0.1)
    silent = short_path / "silent"
    silent.write_text("#!/bin/sh\nexec sleep 60\n")
    silent.chmod(0o755)
    with pytest.raises(BackendError, match="not ready"), embedded_redis(short_path / "r", silent):
        pass
