"""A restart of Redis keeps the waiting jobs, under each of the ACL files that come with agewell."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from agewell.producer.client import Client
from agewell.shared.protocol.built_in_jobs import HsvItem, HsvJob
from agewell.shared.redis.scripts import load_all
from agewell.shared.settings import Settings
from tests.chaos.redis_process import RedisProcess
from tests.support.consuming import waiting_ids
from tests.support.image_files import file_of
from tests.support.paths import ROOT
from tests.support.programs import SERVERS, require_server

JOBS = 5


def _example(folder: Path) -> tuple[str, str]:
    """deploy/redis-users.acl, with passwords in it, for a producer."""
    users = (ROOT / "deploy" / "redis-users.acl").read_text()
    for user in ("PRODUCER", "WORKER"):
        users = users.replace(f"{user}_PASSWORD", "secret")
    (folder / "redis_users.acl").write_text(users)
    return "producer", "secret"


def _generated(folder: Path) -> tuple[str, str]:
    """The files of deploy/make_secrets.py for docker-compose.yml, byte for byte."""
    make = [sys.executable, str(ROOT / "deploy" / "make_secrets.py"), str(folder)]
    subprocess.run(make, check=True, capture_output=True)
    url = (folder / "agewell_redis_url").read_text()
    return "agewell", url.removeprefix("redis://agewell:").partition("@")[0]


def _of_an_older_version(folder: Path) -> tuple[str, str]:
    """The same, over a file in which the default user has no rights."""
    login = _generated(folder)
    users = folder / "redis_users.acl"
    text = users.read_text()
    [first, *rest] = text.splitlines()
    assert first.startswith("user default off ")
    users.write_text("\n".join(["user default off", *rest, ""]))
    assert _generated(folder) == login
    assert users.read_text() == text
    return login


@pytest.fixture(params=SERVERS)
def binary(request: pytest.FixtureRequest) -> Path | None:
    return require_server(request.param)


@pytest.fixture(params=[_example, _generated, _of_an_older_version])
def server(
    request: pytest.FixtureRequest, binary: Path, short_path: Path
) -> Iterator[RedisProcess]:
    make: Callable[[Path], tuple[str, str]] = request.param
    user, password = make(short_path)
    lines = ("appendonly yes", f"aclfile {short_path}/redis_users.acl")
    server = RedisProcess(short_path / "redis", *lines, user=user, password=password, binary=binary)
    yield server
    server.end()


def _give_scripts(server: RedisProcess) -> None:
    """As a worker does when it starts: a producer may not."""
    user = "worker" if server.user == "producer" else server.user
    with redis.Redis(port=server.port, username=user, password=server.password) as client:
        load_all(client)


def test_waiting_jobs_survive_a_restart(server: RedisProcess, short_path: Path):
    _give_scripts(server)
    settings = Settings(redis_url=server.url, state_dir=short_path / "state", blob_url="redis")
    with Client.open(settings) as client:
        [image] = client.put(("photo.png", file_of("PNG")))
        ids = client.send_many([HsvJob(items=(HsvItem(image=image),))] * JOBS)
    server.end()
    server.restart()
    with server.client() as client:
        assert waiting_ids(client) == ids
        assert [client.hget(f"agewell:job:{each}", "state") for each in ids] == [b"waiting"] * JOBS


LOGINS = ["", "AUTH default secret", 'AUTH default ""', "AUTH secret"]


def test_nobody_logs_in_as_the_default_user(server: RedisProcess):
    for login in LOGINS:
        with socket.create_connection(("127.0.0.1", server.port)) as plain:
            plain.sendall(f"{login}\r\nPING\r\nQUIT\r\n".encode())
            answers = plain.makefile("rb").read().splitlines()
        assert answers[-2].startswith(b"-NOAUTH"), login
        assert all(each.startswith((b"-WRONGPASS", b"-NOAUTH")) for each in answers[:-1]), login
