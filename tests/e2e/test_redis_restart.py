"""After a restart of Redis, everything goes on within about a second of its first answer."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agewell.shared.redis.clock import redis_now
from tests.chaos.redis_process import RedisProcess
from tests.support.messages import good_job, hsv_job, send, stored
from tests.support.stack import Stack, started, until

AWAY_S = 2.5
"""By Celery's own pauses a worker would try again 3.5 s after such an outage, and then wait for a
second, and then for five more."""

GOES_ON_S = 2.0
"""A worker takes half a second here. The rest is for a busy machine."""

COMMAND_S = 2.0
"""The time of a command that asks for the state of the queues."""

SUBSCRIBED = 3
"""The patterns to which workers (two) and Flower subscribe."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    running = RedisProcess(tmp_path_factory.mktemp("redis"), "appendonly yes")
    yield running
    running.end()


@pytest.fixture(scope="module")
def own_stack(server: RedisProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with a Redis that somebody else runs."""
    folder = tmp_path_factory.mktemp("s")
    with started(folder, REDIS_URL=server.url, CONCURRENCY=1) as running:
        yield running
        running.stop()


def restart(server: RedisProcess) -> float:
    """Have Redis away for a while. Returns the time of its first answer, by its clock."""
    server.kill()
    time.sleep(AWAY_S)
    server.restart()
    return redis_now(server.client())


def taken_after(stack: Stack, job_ids: list[str], since: float) -> float:
    """Wait until one of the jobs runs. Returns the seconds from a time of Redis's clock."""

    def starts() -> list[float]:
        found = [job["started_at"] for job in stack.jobs(job_ids)]
        return [each for each in found if each is not None and each > since]

    return min(until(starts, 30, lambda: stack.log)) - since


@pytest.mark.alone
def test_idle_worker_upkeep_and_flower_go_on_soon(own_stack: Stack, server: RedisProcess):
    own_stack.wait_ended([send(own_stack, "cv.hsv", good_job())])
    until(lambda: patterns(own_stack) == SUBSCRIBED, 30, lambda: patterns(own_stack))
    back = restart(server)
    assert taken_after(own_stack, [send(own_stack, "cv.hsv", good_job())], back) < GOES_ON_S
    until(lambda: patterns(own_stack) == SUBSCRIBED, GOES_ON_S, lambda: patterns(own_stack))
    until(
        lambda: last_sweep_s_ago(own_stack) < AWAY_S / 2,
        GOES_ON_S + COMMAND_S,
        lambda: own_stack.log,
    )


@pytest.mark.alone
def test_busy_worker_goes_on_soon(own_stack: Stack, server: RedisProcess, large_photo: Path):
    image = stored(own_stack, large_photo.read_bytes(), "large.jpg")
    running = send(own_stack, "cv.hsv", hsv_job(*[image] * 4))
    own_stack.wait_running(running)
    waiting = send(own_stack, "cv.hsv", good_job())
    back = restart(server)
    assert taken_after(own_stack, [running, waiting], back) < GOES_ON_S
    assert [job["state"] for job in own_stack.wait_ended([running, waiting])] == ["done", "done"]


def patterns(stack: Stack) -> int:
    return int(stack.redis.pubsub_numpat())


def last_sweep_s_ago(stack: Stack) -> float:
    return min(float(each["last_sweep_s_ago"]) for each in stack.documents("queues"))
