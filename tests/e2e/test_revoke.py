"""Celery's revoke, in every state that a job can be in."""

import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.support.messages import answer_to, ask, good_job, hsv_job, send, stored
from tests.support.stack import Stack

REPLIED_S = 10.0
WORKERS = 3
"""cv, infer and upkeep: each is told, and only the first has jobs of cv."""


def revoke(stack: Stack, job_id: str, **options: Any) -> None:
    """Revoke a job, and wait until every worker has acted on it."""
    control = stack.celery.control
    replies = control.revoke(job_id, reply=True, limit=WORKERS, timeout=REPLIED_S, **options)
    assert len(replies) == WORKERS


def state(stack: Stack, job_id: str) -> Any:
    return stack.celery.backend.get_state(job_id)


def test_a_running_job_that_is_revoked_ends_with_its_result(stack: Stack, large_photo: Path):
    image = stored(stack, large_photo.read_bytes(), "large.jpg")
    job_id = send(stack, "cv.hsv", hsv_job(*[image] * 12))
    stack.wait_running(job_id)
    revoke(stack, job_id)
    assert stack.states([job_id]) == ["running"]
    assert [job["id"] for job in stack.documents("jobs", "--state", "running")] == [job_id]
    assert len(answer_to(stack, job_id)["items"]) == 12
    assert [job["state"] for job in stack.jobs([job_id])] == ["done"]
    assert state(stack, job_id) == "SUCCESS"


def test_a_running_job_that_is_terminated_is_cancelled(rough_stack: Stack, large_photo: Path):
    image = stored(rough_stack, large_photo.read_bytes(), "large.jpg")
    job_id = send(rough_stack, "cv.hsv", hsv_job(*[image] * 64))
    rough_stack.wait_running(job_id)
    revoke(rough_stack, job_id, terminate=True)
    assert [job["state"] for job in rough_stack.wait_ended([job_id])] == ["cancelled"]
    assert state(rough_stack, job_id) == "REVOKED"


def test_a_job_that_is_revoked_before_it_is_sent_never_runs(stack: Stack):
    job_id = str(uuid.uuid4())
    revoke(stack, job_id)
    stack.celery.send_task("cv.hsv", [good_job()], task_id=job_id, queue="cv")
    ask(stack, "cv.hsv", good_job())  # behind it
    assert [job["state"] for job in stack.wait_ended([job_id])] == ["cancelled"]
    assert stack.jobs([job_id])[0]["started_at"] is None
    assert state(stack, job_id) == "REVOKED"


def test_a_job_that_is_revoked_while_it_waits_for_its_time_never_runs(stack: Stack):
    sent = stack.celery.send_task("cv.hsv", [good_job()], queue="cv", countdown=3)
    ask(stack, "cv.hsv", good_job())  # behind it: the worker has both
    revoke(stack, sent.id)
    assert [job["state"] for job in stack.wait_ended([sent.id])] == ["cancelled"]
    assert stack.jobs([sent.id])[0]["started_at"] is None


def test_waiting_jobs_are_revoked_by_their_stamps(stack: Stack, long_job: str):
    mine, other = (
        stack.celery.send_task(
            "cv.hsv",
            [good_job()],
            queue="cv",
            headers={"stamped_headers": ["trip"], "stamps": {"trip": trip}},
        ).id
        for trip in ("to the sea", "to the hills")
    )
    stack.celery.control.revoke_by_stamped_headers(
        {"trip": ["to the sea"]}, reply=True, limit=WORKERS, timeout=REPLIED_S
    )
    assert stack.states([long_job]) == ["running"]
    stack.ok("cancel", long_job)
    assert [job["state"] for job in stack.wait_ended([mine, other])] == ["cancelled", "done"]


@pytest.mark.parametrize("terminate", [False, True])
def test_a_job_that_has_ended_keeps_its_result(stack: Stack, terminate: bool):
    job_id = send(stack, "cv.hsv", good_job())
    answer_to(stack, job_id)
    revoke(stack, job_id, terminate=terminate)
    assert [job["state"] for job in stack.jobs([job_id])] == ["done"]
    assert state(stack, job_id) == "SUCCESS"
