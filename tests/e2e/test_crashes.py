"""Whatever is killed in mid-job, every job ends."""

import os
import signal
import time
from pathlib import Path

import cv2
import psutil
import pytest

from tests.e2e.conftest import PHOTOS
from tests.support.messages import good_job, hsv_job, send, stored
from tests.support.stack import Stack, is_gone, started, state_directory, until

JOBS = 40
EVERY_JOB_ENDS_S = 60.0


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of forty photos, each a tenth of a second of work."""
    folder = tmp_path_factory.mktemp("work")
    photo = cv2.resize(cv2.imread(str(PHOTOS / "morskie-oko.jpg")), (2000, 1300))
    first = folder / "00.jpg"
    cv2.imwrite(str(first), photo)
    for number in range(1, JOBS):
        (folder / f"{number:02}.jpg").hardlink_to(first)
    return folder


def busy(stack: Stack, work: Path) -> list[str]:
    """Forty jobs and a Poisson blend, the first of them running, most of them waiting."""
    paths = [PHOTOS / name for name in ("jellyfish.jpg", "jellyfish-mask.png", "morskie-oko.jpg")]
    blend = stack.enqueue("poisson", *paths, "--at", "300,200")
    ids = blend + stack.enqueue("hsv", work, "--images-per-job", 1)
    until(lambda: "running" in stack.states(ids), 60, lambda: "a job runs")
    assert stack.states(ids).count("waiting") > JOBS / 4
    return ids


def assert_all_done(stack: Stack, ids: list[str]) -> None:
    stack.wait_ended(ids, EVERY_JOB_ENDS_S)
    assert set(stack.states(ids)) == {"done"}
    # Celery's own record agrees, and nothing is left over in the queue.
    assert {stack.celery.backend.get_state(each) for each in ids} == {"SUCCESS"}
    until(lambda: left_over(stack) == 0, 30, lambda: stack.documents("queues"))


def left_over(stack: Stack) -> int:
    [queue] = [each for each in stack.documents("queues") if each["queue"] == "cv"]
    return sum(level["waiting"] for level in queue["levels"]) + queue["reserved"]


@pytest.mark.slow
def test_a_killed_pool_process_loses_no_job(rough_stack: Stack, work: Path):
    ids = busy(rough_stack, work)
    rough_stack.pool[0].kill()
    assert_all_done(rough_stack, ids)
    until(lambda: len(rough_stack.pool) == 2, 30, lambda: f"two of {rough_stack.pool}")


@pytest.mark.slow
def test_a_killed_worker_is_restarted_and_loses_no_job(rough_stack: Stack, work: Path):
    ids = busy(rough_stack, work)
    pool = rough_stack.pool
    rough_stack.worker.kill()
    rough_stack.wait_said("killed by SIGKILL; starts again")
    until(lambda: all(map(is_gone, pool)), 10, lambda: f"the dead worker's {pool} are gone")
    assert_all_done(rough_stack, ids)


@pytest.mark.slow
def test_a_message_on_its_way_to_a_worker_that_dies_is_not_lost(rough_stack: Stack, work: Path):
    until(lambda: len(rough_stack.pool) == 2, 60, lambda: "the worker has restarted")
    rough_stack.ok("enqueue", "hsv", work / "00.jpg", "--wait")
    # Idle, and stopped: whatever Redis hands to its connection now, it never reads.
    worker = rough_stack.worker
    worker.suspend()
    ids = rough_stack.enqueue("hsv", work, "--images-per-job", 1)
    worker.kill()
    assert_all_done(rough_stack, ids)


@pytest.mark.slow
def test_a_killed_redis_is_restarted_with_its_data_and_no_job_is_lost(
    rough_stack: Stack, work: Path
):
    ids = busy(rough_stack, work)
    children = psutil.Process(rough_stack.process.pid).children()
    [server] = [each for each in children if each.name() == "redis-server"]
    server.kill()
    rough_stack.wait_said("had ended; started again")
    assert_all_done(rough_stack, ids)


@pytest.mark.slow
def test_a_second_stack_takes_over_from_a_killed_one(work: Path):
    with state_directory() as folder, started(folder, CONCURRENCY=1) as first:
        ids = busy(first, work)
        family = first.family
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait()
        until(lambda: all(map(is_gone, family)), 60, lambda: f"no orphan is left of {family}")
        with started(folder, CONCURRENCY=2) as second:
            assert_all_done(second, ids)
            second.stop()


@pytest.mark.slow
def test_ctrl_c_gives_running_jobs_their_time_and_leaves_the_rest_to_the_next_start(
    large_photo: Path,
):
    with state_directory() as folder, started(folder, CONCURRENCY=1, DRAIN_S=1) as first:
        image = stored(first, large_photo.read_bytes())
        long = send(first, "cv.hsv", hsv_job(*[image] * 64))
        first.wait_running(long)
        waiting = [send(first, "cv.hsv", good_job()) for _ in range(3)]
        began = time.monotonic()
        first.stop()
        assert time.monotonic() - began < 15
        assert "its jobs return to the queue" in first.log
        with started(folder, CONCURRENCY=2) as second:
            second.wait_ended(waiting, EVERY_JOB_ENDS_S)
            assert set(second.states(waiting)) == {"done"}
            second.wait_running(long)
            second.ok("cancel", long)
            second.wait_ended([long])
            second.stop()


def test_a_second_stack_in_a_directory_in_use_is_refused(stack: Stack):
    done = stack.run("up")
    assert done.returncode == 2
    for word in ("AGEWELL_STATE_DIR", str(stack.state_dir), "in use", str(stack.process.pid)):
        assert word in done.stderr
    assert stack.ok("queues")
