"""A blob store that is unmounted while jobs wait, and comes back: no job is lost."""

import pytest

from tests.support.messages import hsv_job, send, stored
from tests.support.stack import Stack, until

JOBS = 40


@pytest.mark.slow
def test_no_job_is_lost_while_the_store_is_away(rough_stack: Stack, small_folder, long_jobs):
    stack = rough_stack
    store = stack.state_dir / "blobs"
    away = store.with_name("away")
    dead_before = stack.documents("dead", "list")
    ids = [
        each
        for _ in range(JOBS // 8)
        for each in stack.enqueue("hsv", small_folder, "--images-per-job", 1)
    ]
    sent = {job["id"]: job["enqueued_at"] for job in stack.jobs(ids)}
    store.rename(away)
    store.mkdir()
    try:
        stack.ok("cancel", *long_jobs)
        until(lambda: paused(stack), 60, lambda: stack.documents("doctor"))
        done = stack.run("enqueue", "hsv", small_folder)
        assert done.returncode == 3
        assert "the store is not there" in done.stderr
        assert not {"failed", "dead"} & set(stack.states(ids))
        assert list(store.iterdir()) == []
    finally:
        store.rmdir()
        away.rename(store)
    jobs = stack.wait_ended(ids, 120)
    assert [job["state"] for job in jobs] == ["done"] * JOBS
    assert {job["id"]: job["enqueued_at"] for job in jobs} == sent
    assert stack.documents("dead", "list") == dead_before
    assert not paused(stack)
    log = "".join(path.read_text() for path in (stack.state_dir / "logs").glob("cv*"))
    assert log.count("paused until the blob store answers again") == 1
    assert log.count("the blob store answers again: taking jobs") == 1


def paused(stack: Stack) -> list[str]:
    found = stack.documents("doctor")
    return [each["found"] for each in found if each["check"] == "paused"]


@pytest.fixture
def long_jobs(rough_stack: Stack, large_photo):
    """Jobs that hold both of the worker's processes while the others are sent."""
    image = stored(rough_stack, large_photo.read_bytes(), "large.jpg")
    ids = [send(rough_stack, "cv.hsv", hsv_job(*[image] * 64)) for _ in range(2)]
    for each in ids:
        rough_stack.wait_running(each)
    return ids
