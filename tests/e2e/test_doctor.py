"""`agewell doctor` names the cause: each set-up is broken in one way, with real servers."""

import json
import os
import signal
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from agewell.producer.doctor.examine import examine
from agewell.producer.doctor.finding import Finding, Verdict
from agewell.producer.doctor.models import check_models
from agewell.producer.up.embedded_redis import EmbeddedRedis, embedded_redis
from agewell.shared.queue.dead_letters import DeadLetters
from agewell.shared.settings import Settings
from tests.support.messages import good_job
from tests.support.stack import Stack, agewell, environment, until


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """A Redis by TCP, with a password."""
    too_long_for_a_socket = tmp_path_factory.mktemp("redis") / ("x" * 100)
    with embedded_redis(too_long_for_a_socket) as running:
        yield running


@pytest.fixture
def settings(redis_server: EmbeddedRedis, tmp_path: Path) -> Settings:
    return Settings(redis_url=redis_server.url, state_dir=tmp_path, blob_url="redis")


def finding(settings: Settings, check: str, **more: Any) -> Finding:
    """The doctor's finding of one check."""
    return next(each for each in examine(settings, **more) if each.check == check)


def problems(documents: list[dict[str, Any]]) -> list[str]:
    return [each["check"] for each in documents if each["verdict"] == "problem"]


def test_a_sound_stack_has_no_problem(stack: Stack):
    done = stack.ok("doctor", "--json")
    found = {each["check"]: each for each in map(json.loads, done.stdout.splitlines())}
    assert problems(list(found.values())) == []
    assert found["workers of cv"]["found"].startswith("cv@")
    assert found["beat"]["verdict"] == found["blobs"]["verdict"] == "ok"


def test_doctor_prints_no_colours_into_a_pipe(stack: Stack):
    done = stack.ok("doctor")
    assert "workers of upkeep" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr


def test_no_redis(tmp_path: Path):
    done = agewell("doctor", env=environment(tmp_path, REDIS_URL="redis://127.0.0.1:1/0"))
    assert done.returncode == 3
    assert "does not answer at redis://127.0.0.1:1/0" in done.stdout
    assert "start it (`agewell up`" in done.stdout
    assert "1 problem: redis first" in done.stderr


def test_no_stack_here(tmp_path: Path):
    done = agewell("doctor", "--json", env=environment(tmp_path))
    assert done.returncode == 3
    last = json.loads(done.stdout.splitlines()[-1])
    assert (last["check"], last["verdict"]) == ("redis", "problem")
    assert last["do"] == "start it: `agewell up`"


@pytest.mark.parametrize("password", ["wrong", ""])
def test_wrong_password(settings: Settings, redis_server: EmbeddedRedis, password: str):
    address = redis_server.url.rpartition("@")[2]
    bad = Settings(redis_url=f"redis://:{password}@{address}", state_dir=settings.state_dir)
    found = finding(bad, "redis")
    assert found.verdict is Verdict.PROBLEM
    assert "refuses the password" in found.found
    assert "AGEWELL_REDIS_URL" in found.do
    assert password not in found.found or not password


OLD_INFO = (
    "# Server\r\nredis_version:5.0.14\r\nused_memory:1000\r\nmaxmemory:0\r\naof_enabled:1\r\n"
)


class _OldRedis(socketserver.StreamRequestHandler):
    """Redis 5's answers, as far as they matter: no HELLO, no LMOVE. None is packaged any more."""

    def handle(self) -> None:
        while head := self.rfile.readline():
            words = []
            for _ in range(int(head[1:])):
                size = int(self.rfile.readline()[1:])
                words.append(self.rfile.read(size + 2)[:-2].upper())
            if words[0] == b"INFO":
                self.wfile.write(f"${len(OLD_INFO)}\r\n{OLD_INFO}\r\n".encode())
            elif words[0] in (b"PING", b"SELECT"):
                self.wfile.write(b"+OK\r\n")
            else:
                self.wfile.write(b"-ERR unknown command\r\n")


def test_old_redis(settings: Settings):
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _OldRedis) as old:
        old.daemon_threads = True
        threading.Thread(target=old.serve_forever, daemon=True).start()
        url = f"redis://127.0.0.1:{old.server_address[1]}/0"
        found = finding(Settings(redis_url=url, state_dir=settings.state_dir), "version")
        old.shutdown()
    assert found.verdict is Verdict.PROBLEM
    assert found.found.startswith("Redis 5.0.14")
    assert "6.2 or newer" in found.do


def test_eviction_policy(settings: Settings, client: redis.Redis):
    assert finding(settings, "eviction").verdict is Verdict.OK
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.config_set("maxmemory", 2**30)
    try:
        found = finding(settings, "eviction")
    finally:
        client.config_set("maxmemory", 0)
        client.config_set("maxmemory-policy", "noeviction")
    assert found.verdict is Verdict.PROBLEM
    assert found.found.startswith("allkeys-lru")
    assert "maxmemory-policy noeviction" in found.do


@contextmanager
def stopped(process: psutil.Process) -> Iterator[None]:
    """A process that hangs: alive, and dead to the world."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def test_no_worker_on_a_queue(rough_stack: Stack):
    with stopped(rough_stack.worker):
        found = {each["check"]: each for each in rough_stack.documents("doctor")}
    assert problems(list(found.values())) == ["workers of cv"]
    assert "agewell.workers.cv worker -Q cv" in found["workers of cv"]["do"]


def test_beat_dead(rough_stack: Stack):
    [beat] = [each for each in rough_stack.family if " beat " in " ".join(each.cmdline())]

    def found() -> Finding | None:
        # Time need not pass: the last sweep was a minute earlier.
        for queue in ("cv", "infer"):
            rough_stack.redis.hset(f"agewell:aging:{queue}", "last_run_at", time.time() - 60)
        each = finding(Settings(state_dir=rough_stack.state_dir), "beat")
        return each if each.verdict is Verdict.PROBLEM else None

    with stopped(beat):
        told = until(found, 60, lambda: "the doctor notices")
    assert "beat is dead" in told.found
    assert "agewell.workers.upkeep beat" in told.do


@pytest.mark.parametrize(("ahead_s", "words"), [(120, "120 s ahead of"), (-3600, "3,600 s behind")])
def test_skewed_clock(settings: Settings, client: redis.Redis, ahead_s: float, words: str):
    assert finding(settings, "clocks").verdict is Verdict.OK
    found = finding(settings, "clocks", clock=lambda: time.time() + ahead_s)
    assert found.verdict is Verdict.PROBLEM
    assert words in found.found
    assert "chrony" in found.do


def test_missing_weights(settings: Settings, tmp_path: Path):
    version = tmp_path / "resnet" / "1"
    version.mkdir(parents=True)
    (version / "model.yaml").write_text("name: resnet\nversion: '1'\nweights: net.onnx  # 90 MB\n")
    found = finding(settings.model_copy(update={"models_dir": tmp_path}), "models")
    assert found.verdict is Verdict.PROBLEM
    assert found.found == f"weights are missing: {version / 'net.onnx'}"
    (version / "net.onnx").touch()
    assert check_models([tmp_path]).verdict is Verdict.OK


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a megabyte, all of it taken."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "agewell-test", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mount: a tmpfs may be mounted by root only, and not in every container")
    try:
        (disk / "taken").write_bytes(bytes(2**20))
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_full_disk_for_blobs(settings: Settings, client: redis.Redis, full_disk: Path):
    found = finding(settings.model_copy(update={"blob_url": f"file://{full_disk}"}), "blobs")
    assert found.verdict is Verdict.PROBLEM
    assert "No space left on device" in found.found
    assert "AGEWELL_BLOB_URL" in found.do


def test_dead_letters_are_counted_with_their_age_and_reasons(
    settings: Settings, client: redis.Redis
):
    assert finding(settings, "dead letters").verdict is Verdict.OK
    letters = DeadLetters(client)
    job: dict[str, Any] = {"task": "cv.hsv", "args": [{}], "kwargs": {}, "options": {}}
    for number in range(3):
        reason = f"its worker ended {number + 3} times while it ran"
        letters.keep_job(f"lost-{number}", "cv", job, 5, reason, "")
    letters.keep_message("junk", "cv", b"{", "no message of Celery's")
    client.zadd("agewell:dead", {"lost-0": time.time() - 7200})
    found = finding(settings, "dead letters")
    assert found.verdict is Verdict.NOTE
    assert found.found.startswith("4, the oldest given up 2 h 0 min ago: 3 x its worker ended")
    assert "1 x no message of Celery's" in found.found
    for command in ("dead list", "dead show", "dead retry", "dead drop"):
        assert f"`agewell {command}" in found.do


FOREIGN = {
    "no_json": (b"\x80\x04pickled", "no message of Celery's"),
    "no_message": (b'{"job": 1}', "no message of Celery's"),
    "another_task": (
        b'{"headers": {"task": "shop.mail"}, "properties": {"delivery_tag": "1"}}',
        "the task 'shop.mail'",
    ),
}


@pytest.mark.parametrize(("raw", "words"), FOREIGN.values(), ids=FOREIGN)
def test_foreign_messages(stack: Stack, settings: Settings, client: redis.Redis, raw, words):
    app = stack.celery.__class__("mine", broker=settings.redis_url.get_secret_value())
    app.conf.broker_transport_options = {"priority_steps": list(range(10))}
    for priority in (0, 9):
        app.send_task("cv.hsv", args=[good_job()], queue="cv", priority=priority)
    found = finding(settings, "messages")
    assert (found.verdict, found.found) == (Verdict.OK, "2 read, all of them for agewell's tasks")
    client.lpush("cv\x06\x169", raw)
    found = finding(settings, "messages")
    assert found.verdict is Verdict.PROBLEM
    assert found.found.startswith("1 of 3 read are not agewell's, such as cv, level 9: ")
    assert words in found.found
    assert "another database" in found.do
