"""Two worker hosts and a Redis in separate networks. One host is cut off in mid-run."""

import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from tests.support.hosts import Network, network
from tests.support.stack import until

JOBS, IMAGES = 8, 4


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with network(tmp_path_factory.mktemp("hosts"), ["a", "b"]) as running:
        running.start_redis()
        until(lambda: running.redis("ping") == "PONG", 30, lambda: "Redis answers")
        upkeep = ("-A", "agewell.workers.upkeep")
        worker = ("worker", "-Q", "upkeep", "-n", "upkeep@hub", "--pool=threads")
        running.start_celery("hub", *upkeep, *worker, "--concurrency=1")
        schedule = f"--schedule={tmp_path_factory.mktemp('beat') / 'schedule'}"
        running.start_celery("hub", *upkeep, "beat", "--pidfile=", schedule)
        logs = [
            running.start_celery(
                name,
                "-A",
                "agewell.workers.cv",
                "worker",
                "-Q",
                "cv",
                "-n",
                f"cv@{name}",
                "-l",
                "INFO",
            )
            for name in running.hosts
        ]
        for log in logs:
            until(lambda log=log: "ready." in log.read_text(), 120, lambda log=log: log.read_text())
        yield running


@pytest.fixture
def folder(tmp_path: Path, large_photo: Path) -> Path:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(JOBS * IMAGES):
        shutil.copy(large_photo, photos / f"{number}.jpg")
    return photos


def enqueue(hosts: Network, folder: Path) -> list[str]:
    options = ("--images-per-job", str(IMAGES), "--format", "jpeg", "--json")
    done = hosts.agewell("enqueue", "hsv", str(folder), *options)
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["id"] for line in done.stdout.splitlines()]


def records(hosts: Network, ids: list[str]) -> list[dict[str, str]]:
    """The ledger's records of jobs: their states, and the host that ran them last."""
    done = hosts.agewell("status", "--json", *ids)
    return [json.loads(line) for line in done.stdout.splitlines()]


RUNNING_ON = """
local found = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local worker = redis.call('HGET', ARGV[1] .. id, 'worker_id') or ''
  if string.find(worker, ARGV[2] .. ':', 1, true) == 1 then
    found[#found + 1] = id
  end
end
return found
"""


def running_on(hosts: Network, worker: str) -> list[str]:
    """Asked of Redis itself: the command line takes longer to start than a job to run."""
    running = keys.jobs(State.RUNNING)
    said = hosts.redis("eval", RUNNING_ON, "1", running, keys.RECORD_PREFIX, worker)
    return [line for line in said.splitlines() if line]


def enqueue_until_running(
    hosts: Network,
    folder: Path,
    ids: list[str],
    worker: str,
    then: Callable[[], None] = lambda: None,
) -> Callable[[], list[str]]:
    """Return a look that sends jobs, adds their ids, and finds those that the worker runs.

    It looks while the command still sends, and calls `then` at once: the jobs may be done before
    the command has ended. The other host may have done all of them before this one takes any.
    """

    def look() -> list[str]:
        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(enqueue, hosts, folder)
            found: list[str] = []
            while not found and not sending.done():
                found = running_on(hosts, worker)
            if found:
                then()
            ids.extend(sending.result())
        return found

    return look


def wait_done(hosts: Network, ids: list[str]) -> list[dict[str, str]]:
    def all_done() -> list[dict[str, str]]:
        found = records(hosts, ids)
        return found if {job["state"] for job in found} == {"done"} else []

    states = lambda: [job["state"] for job in records(hosts, ids)]  # noqa: E731
    return until(all_done, 180, states)


def queues(hosts: Network) -> list[dict[str, Any]]:
    return [json.loads(line) for line in hosts.agewell("queues", "--json").stdout.splitlines()]


def test_every_job_ends_though_a_host_is_cut_off_and_it_comes_back(hosts: Network, folder: Path):
    ids: list[str] = []
    on_b = enqueue_until_running(hosts, folder, ids, "cv@b", lambda: hosts.cut("b"))
    held = until(on_b, 60, lambda: records(hosts, ids))
    ended = wait_done(hosts, ids)
    assert len(ended) == len(ids)
    # What the lost host held was run by the other one; a result it could not tell is no result.
    assert {job["worker"] for job in ended if job["id"] in held} <= {"cv@a", "cv@b"}
    assert any(job["worker"] == "cv@a" for job in ended)
    ended_at = {job["id"]: job["ended_at"] for job in ended}

    hosts.mend("b")
    more: list[str] = []
    works_again = enqueue_until_running(hosts, folder, more, "cv@b")
    until(works_again, 120, lambda: "the lost host works again")
    wait_done(hosts, more)
    # Nothing ended twice, nothing waits, nothing is held.
    assert {job["id"]: job["ended_at"] for job in records(hosts, ids)} == ended_at
    [cv] = [queue for queue in queues(hosts) if queue["queue"] == "cv"]
    assert [level["waiting"] for level in cv["levels"]] == [0] * 10
    until(lambda: queues(hosts)[0]["reserved"] == 0, 60, lambda: queues(hosts)[0])
