"""A job that runs for too long: it fails, its process is replaced, and the others are done."""

from pathlib import Path

import pytest

from agewell.shared.errors import JobTimeoutError
from tests.support.messages import answer_to, ask, good_job, hsv_job, send, stored
from tests.support.stack import Stack, is_gone, started, state_directory, until

LIMIT_S = 3


def long_job(stack: Stack, large_photo: Path) -> str:
    """Half a minute of work."""
    image = stored(stack, large_photo.read_bytes(), "large.jpg")
    job_id = send(stack, "cv.hsv", hsv_job(*[image] * 64))
    # A take marks it running. Its time begins when a process or a thread has it.
    until(lambda: _is_begun(stack, job_id), 30, lambda: "the job is begun")
    return job_id


def _is_begun(stack: Stack, job_id: str) -> bool:
    replies = stack.celery.control.inspect(timeout=1.0).active() or {}
    return any(job["id"] == job_id for jobs in replies.values() for job in jobs)


def assert_timed_out(stack: Stack, job_id: str) -> None:
    with pytest.raises(JobTimeoutError, match=r"longer than 3\.0 s"):
        answer_to(stack, job_id)
    [record] = stack.jobs([job_id])
    assert record["state"] == "failed"
    assert "longer than 3.0 s" in record["error"]


@pytest.mark.slow
def test_a_process_is_replaced(large_photo: Path):
    with (
        state_directory() as folder,
        started(folder, CONCURRENCY=1, JOB_TIME_LIMIT_S=LIMIT_S) as stack,
    ):
        worker, [first] = stack.worker, stack.pool
        too_long = long_job(stack, large_photo)
        waiting = [send(stack, "cv.hsv", good_job()) for _ in range(3)]
        assert_timed_out(stack, too_long)
        stack.wait_ended(waiting)
        assert set(stack.states(waiting)) == {"done"}
        assert stack.worker == worker
        [second] = stack.pool
        assert second != first
        # One that cannot even be asked to end.
        hung = long_job(stack, large_photo)
        second.suspend()
        assert_timed_out(stack, hung)
        until(lambda: is_gone(second), 30, lambda: "the stopped process is gone")
        assert ask(stack, "cv.hsv", good_job())["op"] == "hsv"
        stack.stop()


@pytest.mark.slow
def test_a_worker_of_threads_is_replaced(large_photo: Path):
    settings = {"POOL": "threads", "CONCURRENCY": 2, "JOB_TIME_LIMIT_S": LIMIT_S, "DRAIN_S": 4}
    with state_directory() as folder, started(folder, **settings) as stack:
        first = stack.worker
        too_long = long_job(stack, large_photo)
        waiting = [send(stack, "cv.hsv", good_job()) for _ in range(20)]
        assert_timed_out(stack, too_long)
        until(lambda: is_gone(first), 30, lambda: "the worker has ended")
        waiting += [send(stack, "cv.hsv", good_job()) for _ in range(5)]
        stack.wait_ended(waiting)
        assert set(stack.states(waiting)) == {"done"}
        assert stack.worker != first
        assert stack.states([too_long]) == ["failed"]
        stack.stop()
