import os
import signal
import subprocess
import sys
import time

import pytest
import redis

from agewell.producer.up.embedded_redis import EmbeddedRedis, embedded_redis
from agewell.shared.errors import BrokerUnreachableError, SettingsError
from agewell.shared.settings import Settings
from agewell.shared.state_dir import Running, StateDir, locate
from agewell.shared.text.urls import without_password


def test_data_survives_kill_9_of_the_server(short_path):
    with embedded_redis(short_path) as server:
        client = redis.Redis.from_url(server.url)
        for number in range(1000):
            client.lpush("jobs", number)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        assert server.restart_if_dead()
        assert client.llen("jobs") == 1000


def test_data_survives_a_clean_stop(short_path):
    with embedded_redis(short_path) as server:
        redis.Redis.from_url(server.url).set("key", "value")
    with embedded_redis(short_path) as server:
        assert redis.Redis.from_url(server.url).get("key") == b"value"


def test_only_its_owner_can_open_the_socket(short_path):
    with embedded_redis(short_path):
        assert (short_path / "redis.sock").stat().st_mode & 0o777 == 0o600


def test_a_path_too_long_for_a_socket_means_a_loopback_port_with_a_password(short_path):
    deep = short_path / ("d" * 60) / ("e" * 60)
    with embedded_redis(deep) as server:
        assert server.url.startswith("redis://:")
        assert redis.Redis.from_url(server.url).ping()
        with pytest.raises(redis.AuthenticationError):
            redis.Redis.from_url(without_password(server.url)).ping()
        command = subprocess.check_output(
            ["ps", "-o", "args=", "-p", str(server.process.pid)], text=True
        )
        assert server.url.split(":")[2].split("@")[0] not in command


def test_a_server_that_a_killed_run_left_behind_hands_over_its_data(short_path):
    left = EmbeddedRedis(short_path)
    redis.Redis.from_url(left.url).set("key", "value")
    with embedded_redis(short_path) as server:
        assert left.process.wait(10) == 0
        assert redis.Redis.from_url(server.url).get("key") == b"value"


def test_the_server_ends_with_its_parent_even_by_kill_9(short_path):
    program = (
        "import sys, time; from pathlib import Path; "
        "from agewell.producer.up.embedded_redis import EmbeddedRedis; "
        "print(EmbeddedRedis(Path(sys.argv[1])).process.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(short_path)], stdout=subprocess.PIPE, text=True
    )
    server_pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and _lives(server_pid):
        time.sleep(0.05)
    assert not _lives(server_pid)


def _lives(pid: int) -> bool:
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return bool(state) and not state.startswith("Z")


def test_a_state_directory_has_one_owner(short_path):
    state = StateDir(short_path)
    with state.locked(), pytest.raises(SettingsError, match="is in use"), state.locked():
        pass


def test_other_commands_find_a_running_stack_by_the_state_directory(short_path):
    state = StateDir(short_path)
    running = Running(os.getpid(), "redis://localhost:1/0", "file:///blobs", "http://localhost:2")
    settings = Settings(state_dir=short_path)
    with state.locked(), state.announced(running):
        found = locate(settings)
        assert found.redis_url.get_secret_value() == "redis://localhost:1/0"
        assert found.blob_url == "file:///blobs"
    with pytest.raises(BrokerUnreachableError, match="no `agewell up` runs there"):
        locate(settings)


def test_a_stack_that_was_killed_is_not_found(short_path):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    state = StateDir(short_path)
    with state.locked(), state.announced(Running(child.pid, "redis://x", "redis", "")):
        assert state.running() is None
