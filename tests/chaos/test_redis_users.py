"""Redis's users of deploy/redis-users.acl: each part of a real stack runs with its rights alone."""

import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from agewell.producer.up.supervisor import Child, Program, celery
from agewell.shared.protocol.tasks import Queue
from agewell.shared.queue.admit import admit
from agewell.shared.queue.status import queue_status
from agewell.shared.redis import keys
from agewell.shared.redis.scripts import Script, load_all
from agewell.shared.settings import MAX_MESSAGE_BYTES, Settings
from tests.chaos.redis_process import RedisProcess
from tests.support.image_files import file_of, picture
from tests.support.paths import ROOT
from tests.support.programs import SERVERS, require_server
from tests.support.stack import agewell, environment, until

ACL = ROOT / "deploy" / "redis-users.acl"
ROLES = ("producer", "worker", "upkeep")
LOADED_S = 5.0
"""A worker that was cut off connects again after at most two seconds, and needs one to start."""


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, short_path: Path) -> Iterator[RedisProcess]:
    """A Redis with those users, each with a password of its own, and an onlooker who may all."""
    binary = require_server(request.param)
    text = ACL.read_text()
    for role in (*ROLES, "flower"):
        text = text.replace(f"{role.upper()}_PASSWORD", f"{role}-secret")
    users = short_path / "users.acl"
    users.write_text(f"{text}user onlooker on >onlooker ~* &* +@all\n")
    lines = (f"aclfile {users}", "appendonly yes")
    server = RedisProcess(
        short_path / "redis", *lines, user="onlooker", password="onlooker", binary=binary
    )
    yield server
    server.end()


def url_of(server: RedisProcess, role: str) -> str:
    return f"redis://{role}:{role}-secret@127.0.0.1:{server.port}/0"


def environment_of(server: RedisProcess, folder: Path, role: str) -> dict[str, str]:
    return environment(folder / role, REDIS_URL=url_of(server, role))


@contextmanager
def parts(server: RedisProcess, folder: Path) -> Iterator[dict[str, Child]]:
    """A cv worker, the upkeep worker and beat, each as a user of its own."""
    options = ("--pool=threads", "--concurrency=1", "--loglevel=INFO", "--task-events")
    host = socket.gethostname()
    commands = {
        "worker": celery(
            "-A", "agewell.workers.cv", "worker", "-Q", "cv", "-n", f"cv@{host}", *options
        ),
        "upkeep": celery(
            "-A",
            "agewell.workers.upkeep",
            "worker",
            "-Q",
            "upkeep",
            "-n",
            f"upkeep@{host}",
            *options,
        ),
        "beat": celery(
            "-A", "agewell.workers.upkeep", "beat", "--pidfile=", f"--schedule={folder}/schedule"
        ),
    }
    with ExitStack() as held:
        children = {}
        for name, command in commands.items():
            env = environment_of(server, folder, "upkeep" if name == "beat" else name)
            child = Child(Program(name, command, {**os.environ, **env}), folder, folder)
            held.callback(child.close)
            held.callback(child.kill_group)
            child.start()
            children[name] = child

        def all_ready() -> bool:
            for child in children.values():
                child.tend(lambda *_: None)
            return all(child.ready for child in children.values())

        until(
            all_ready, 60, lambda: (denials(server), [c.log.read_text() for c in children.values()])
        )
        yield children


def denials(server: RedisProcess) -> list[tuple[Any, ...]]:
    """Commands that Redis refused, and to whom, by its own record."""
    with server.client() as client:
        found = client.acl_log()
    # redis-py introduces itself, and does not mind being refused: Redis 7.0 knows no such command.
    return [
        (each["username"], each["reason"], each["object"], each["context"])
        for each in found
        if not each["object"].startswith("client")
    ]


@pytest.fixture
def photos(short_path: Path) -> Path:
    folder = short_path / "photos"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.png").write_bytes(file_of("PNG", picture().rotate(number)))
    return folder


@pytest.mark.slow
def test_each_part_has_the_rights_that_it_needs(
    server: RedisProcess, photos: Path, short_path: Path
):
    out = short_path / "out"
    env = environment_of(server, short_path, "producer")
    with parts(server, short_path):
        with server.client() as client:  # a worker that has died idle
            client.zadd(keys.idle("cv"), {keys.wake("dead"): 1})
        done = agewell("enqueue", "hsv", photos, "--images-per-job", 1, "--out", out, env=env)
        assert done.returncode == 0, done.stderr + str(denials(server))
        assert len(list(out.iterdir())) == 5
        sent = agewell("enqueue", "hsv", photos, "-p", "bulk", env=env)
        ids = sent.stdout.split()
        assert agewell("status", *ids, env=env).returncode == 0
        agewell("cancel", *ids, env=env)
        for command in (
            ["queues", "--json"],
            ["jobs"],
            ["dead", "list"],
            ["result", ids[0], "--out", short_path / "a.png"],
        ):
            agewell(*command, env=env)
        with server.client() as client:  # sweeps and returns run every second
            until(lambda: client.exists("agewell:aging:cv"), 30, lambda: denials(server))
    assert denials(server) == []


@pytest.mark.slow
def test_a_producer_waits_until_a_worker_has_given_redis_the_scripts(
    server: RedisProcess, photos: Path, short_path: Path
):
    env, out = environment_of(server, short_path, "producer"), short_path / "out"
    refused = agewell("enqueue", "hsv", photos, env=env)
    assert refused.returncode == 3
    assert "Redis does not have agewell's scripts" in refused.stderr
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(agewell, "enqueue", "hsv", photos, "--out", out, "--block", env=env)
        with parts(server, short_path):
            assert waits.result(60).returncode == 0, waits.result().stderr
    assert len(list(out.iterdir())) == 5


@pytest.mark.slow
def test_workers_give_a_redis_that_has_lost_its_scripts_all_of_them(
    server: RedisProcess, photos: Path, short_path: Path
):
    hashes = [Script(name).sha for name in ("publish", "end", "take", "end_many", "keep_letter")]

    def all_known() -> bool:
        with server.client() as client:
            return all(client.script_exists(*hashes))

    with parts(server, short_path):
        assert all_known()
        with server.client() as client:
            client.script_flush()
        until(all_known, LOADED_S, lambda: "the scripts are there after SCRIPT FLUSH")
        server.kill()
        server.restart()
        until(all_known, LOADED_S, lambda: "the scripts are there after a restart")
        env = environment_of(server, short_path, "producer")
        done = agewell("enqueue", "hsv", photos, "--out", short_path / "out", env=env)
        assert done.returncode == 0, done.stderr + str(denials(server))


WORKERS_FORBIDDEN = [
    "EVAL return(1) 0",
    "SCRIPT FLUSH",
    "FLUSHALL",
    "CONFIG GET *",
    "KEYS *",
    "ACL LIST",
    "GET other",
    "SHUTDOWN NOSAVE",
]
FORBIDDEN = {
    "producer": [
        "EVAL return(1) 0",
        "SCRIPT LOAD return(1)",
        "SCRIPT FLUSH",
        "BRPOP cv 1",
        "FLUSHALL",
        "CONFIG GET *",
        "KEYS *",
        "RPOP cv",
        "ACL LIST",
        "GET other",
        "SCAN 0",
    ],
    "worker": WORKERS_FORBIDDEN,
    "upkeep": WORKERS_FORBIDDEN,
    "flower": [
        "EVAL return(1) 0",
        "SCRIPT LOAD return(1)",
        "FLUSHALL",
        "CONFIG GET *",
        "SET agewell:x 1",
        "LPUSH cv x",
        "DEL cv",
        "GET other",
    ],
}


@pytest.mark.parametrize("role", FORBIDDEN)
def test_no_part_has_the_rights_of_another(server: RedisProcess, role: str):
    with redis.Redis.from_url(url_of(server, role)) as client:
        assert client.ping()
        for command in FORBIDDEN[role]:
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command.split())


def test_flower_reads_what_waits_and_writes_nothing_by_a_script(server: RedisProcess):
    url, queue = url_of(server, "flower"), Queue.CV.value
    with server.client() as client:
        load_all(client)
        client.lpush(queue, "a message")
    with redis.Redis.from_url(url) as client:
        [cv, *_] = queue_status(client, Settings(redis_url=url), 0.0)
        assert sum(each.waiting for each in cv.levels) == 1
        with pytest.raises(redis.ResponseError):
            admit(client, {queue: 0.05}, 0.0, MAX_MESSAGE_BYTES)
        assert client.llen(queue) == 1
