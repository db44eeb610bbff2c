"""Limits: a full queue, a full Redis, a job that runs for too long or takes too much memory."""

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import redis

from agewell.shared.settings import Settings
from agewell.workers.process import memory
from tests.chaos.redis_process import RedisProcess
from tests.support.image_files import file_of, picture
from tests.support.messages import hsv_job, send, stored
from tests.support.stack import Stack, agewell, environment, until

JOBS = 12


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    for number in range(JOBS):
        image = picture().rotate(number)
        (folder / f"{number}.png").write_bytes(file_of("PNG", image))
    return folder


@pytest.fixture
def server(short_path: Path) -> Iterator[RedisProcess]:
    """A Redis without workers. Jobs that are sent wait."""
    server = RedisProcess(short_path / "redis", "appendonly no")
    yield server
    server.end()


def waiting(server: RedisProcess) -> int:
    with server.client() as client:
        return client.zcard("agewell:order:cv")


def enqueue(server: RedisProcess, folder: Path, path: Path, *more: object, **settings: object):
    env = environment(folder, REDIS_URL=server.url, **settings)
    return agewell("enqueue", "hsv", path, "--images-per-job", 1, *more, env=env)


def test_full_queue_names_the_jobs_it_took_and_refuses_the_rest(
    server: RedisProcess, many: Path, short_path: Path
):
    done = enqueue(server, short_path, many, MAX_WAITING=5)
    assert done.returncode == 4
    for word in ("queue cv is full", "5 jobs wait, 5 may", "--block", "5 jobs sent before"):
        assert word in done.stderr
    ids = done.stdout.split()
    assert len(ids) == waiting(server) == 5
    with server.client() as client:
        assert {client.hget(f"agewell:job:{each}", "state") for each in ids} == {b"waiting"}
    again = enqueue(server, short_path, many, MAX_WAITING=5)
    assert (again.returncode, again.stdout, waiting(server)) == (4, "", 5)


def test_block_waits_until_there_is_room(server: RedisProcess, many: Path, short_path: Path):
    with ThreadPoolExecutor(1) as pool, server.client() as client:
        call = pool.submit(enqueue, server, short_path, many, "--block", MAX_WAITING=5)
        taken = 0
        most = 0
        while not call.done():
            found = waiting(server)
            most = max(most, found)
            if found == 5:
                time.sleep(0.1)
                taken += len(client.zpopmin("agewell:order:cv", 2))
        done = call.result()
    assert done.returncode == 0
    assert "waiting for room: queue cv is full" in done.stderr
    assert len(done.stdout.split()) == JOBS == taken + waiting(server)
    assert most == 5


def test_other_queues_have_room_of_their_own(server: RedisProcess, many: Path, short_path: Path):
    with server.client() as client:
        client.lpush("infer", *["job"] * 100)
    done = enqueue(server, short_path, many, MAX_WAITING=50)
    assert done.returncode == 0
    assert waiting(server) == JOBS


@contextmanager
def filled_to(server: RedisProcess, share: float, maxmemory: int) -> Iterator[None]:
    """Redis with so much of its memory used by somebody else, as long as this context lasts."""
    with server.client() as client:
        client.config_set("maxmemory", maxmemory)
        client.config_set("maxmemory-policy", "noeviction")
        block = 64 * 1024
        number = 0
        with contextlib.suppress(redis.exceptions.OutOfMemoryError):
            while client.info("memory")["used_memory"] < share * maxmemory:
                number += 1
                client.set(f"ballast:{number}", bytes(block))
        yield
        client.config_set("maxmemory", 0)
        client.delete(*client.keys("ballast:*"))


@pytest.mark.parametrize("share", [0.95, 1.0], ids=["all_but_full", "full"])
def test_a_full_redis_is_an_error_of_its_own_and_loses_nothing(
    server: RedisProcess, many: Path, short_path: Path, share: float
):
    first = enqueue(server, short_path, many)
    assert first.returncode == 0
    with filled_to(server, share, 8 * 2**20):
        done = enqueue(server, short_path, many)
        assert done.returncode == 4
        assert "is full" in done.stderr
        assert "maxmemory" in done.stderr
        assert server.password not in done.stderr
        assert done.stdout == ""
        assert waiting(server) == JOBS
    assert enqueue(server, short_path, many).returncode == 0
    assert waiting(server) == 2 * JOBS


@pytest.mark.usefixtures("unharmed")
def test_a_job_that_takes_too_much_memory_fails_and_its_process_goes_on(
    stack: Stack, first_process: psutil.Process, large_photo: Path
):
    limit = memory.job_limit(Settings(concurrency=1))
    # Its process may still be importing.
    until(
        lambda: first_process.rlimit(psutil.RLIMIT_DATA) == (limit, limit),
        60,
        lambda: first_process.rlimit(psutil.RLIMIT_DATA),
    )
    assert first_process.rlimit(psutil.RLIMIT_AS)[0] > limit
    assert stack.worker.rlimit(psutil.RLIMIT_DATA)[0] == psutil.RLIM_INFINITY
    image = stored(stack, large_photo.read_bytes(), "large.jpg")
    first_process.rlimit(psutil.RLIMIT_DATA, (data_bytes(first_process) + 2**24, limit))
    try:
        job_id = send(stack, "cv.hsv", hsv_job(image))
        [job] = stack.wait_ended([job_id])
    finally:
        first_process.rlimit(psutil.RLIMIT_DATA, (limit, limit))
    assert job["state"] == "failed"
    assert "large.jpg: not enough memory" in job["error"]
    assert "AGEWELL_JOB_MEMORY_BYTES" in job["error"]


def data_bytes(process: psutil.Process) -> int:
    """The memory of a process that RLIMIT_DATA counts, by proc(5)."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return 1024 * int(status.partition("VmData:")[2].split()[0])
