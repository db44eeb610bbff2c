"""Containers that are stopped, killed and restarted while jobs run, wait and are scheduled."""

import json
import os
import signal
import time

import pytest

from tests.containers.stack import CORE, Stack
from tests.support.stack import until

LONG = ("--image", "examples/images/canyon-day.jpg", "--images", 64)
"""Jobs that run for a second or more each, on a fast machine too."""


@pytest.fixture(autouse=True)
def everything_runs(stack: Stack) -> None:
    stack.compose("up", "--detach", "--scale", "cv=1")
    stack.wait_healthy(*CORE)


def send(stack: Stack, jobs: int, *more: object) -> None:
    assert stack.load("send", "--jobs", jobs, *more)["sent"] == jobs


def send_long(stack: Stack, jobs: int) -> None:
    """Send jobs, and return while some of them run. Nothing slow may come between."""
    send(stack, jobs, *LONG, "--until-one-runs")


def look(stack: Stack, ids: str = "ids.json", within_s: float = 120) -> dict[str, int]:
    return stack.load("look", "--ids", ids, "--timeout-s", within_s)


def all_done(jobs: int) -> dict[str, int]:
    return {"sent": jobs, "ended_twice": 0, "done": jobs}


def main_process(stack: Stack, service: str) -> int:
    """The worker itself. The container's first process is the init that Docker adds."""
    init = stack.engine.get(f"/containers/{stack.name(service)}/json")["State"]["Pid"]
    with open(f"/proc/{init}/task/{init}/children") as children:  # noqa: PTH123
        return int(children.read().split()[0])


def test_docker_stop_lets_running_jobs_end(stack: Stack, measured):
    send_long(stack, 6)
    began = time.monotonic()
    stack.engine.docker("stop", "--time", "120", stack.name("cv"))
    measured("docker stop of a busy cv worker", f"{time.monotonic() - began:.1f} s")
    state = stack.engine.get(f"/containers/{stack.name('cv')}/json")["State"]
    assert state["ExitCode"] == 0
    assert stack.queue()["reserved"] == 0
    stack.compose("start", "cv")
    assert look(stack) == all_done(6)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may signal a container's process")
def test_a_killed_worker_is_started_again_and_its_jobs_return(stack: Stack):
    send_long(stack, 6)
    os.kill(main_process(stack, "cv"), signal.SIGKILL)
    assert look(stack) == all_done(6)
    stack.wait_healthy("cv")


def test_one_of_two_workers_is_killed_and_the_other_does_its_jobs(stack: Stack):
    stack.compose("up", "--detach", "--no-recreate", "--scale", "cv=2")
    until(lambda: stack.health("cv", 2) == "healthy", 60, lambda: stack.logs("cv"))
    send_long(stack, 6)
    stack.engine.docker("kill", stack.name("cv", 2))
    assert look(stack) == all_done(6)


def test_jobs_outlive_a_restart_of_redis(stack: Stack, measured):
    stack.compose("stop", "cv")
    send(stack, 10)
    send(stack, 5, "--later-s", 600, "--ids", "later.json")
    assert stack.queue() == {"waiting": 10, "reserved": 0, "scheduled": 5}
    stack.compose("restart", "redis")
    stack.wait_healthy("redis")
    assert stack.queue() == {"waiting": 10, "reserved": 0, "scheduled": 5}
    stack.inside(
        "upkeep", "agewell", "cancel", *json.loads((stack.folder / "later.json").read_text())
    )
    stack.compose("start", "cv")
    assert look(stack) == all_done(10)


def test_an_idle_worker_takes_jobs_soon_after_a_restart_of_redis(stack: Stack, measured):
    stack.compose("restart", "redis")
    stack.wait_healthy("redis")
    began = time.monotonic()
    found = stack.load("follow", "--jobs", 1)
    took_s = time.monotonic() - began
    measured("first job after a restart of Redis", f"{took_s:.1f} s, its sending included")
    assert found == all_done(1)
    assert took_s < 6


def test_the_whole_stack_stops_and_starts_with_jobs_in_every_state(stack: Stack):
    send(stack, 2, "--later-s", 20, "--ids", "later.json")
    send_long(stack, 6)
    stack.compose("down", "--timeout", "60")
    stack.up()
    assert look(stack) == all_done(6)
    assert look(stack, "later.json") == all_done(2)
