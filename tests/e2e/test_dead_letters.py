"""Jobs that are given up, jobs that come too late, and an operator's commands for them."""

import time
from typing import Any

import psutil
import pytest
from celery import chain

from tests.support.messages import answer_to, good_job, hsv_job, send, stored
from tests.support.stack import Stack, until

MAX_DELIVERIES = 3


@pytest.mark.slow
def test_a_job_that_takes_its_process_down_again_and_again_is_given_up(
    rough_stack: Stack, large_photo
):
    stack = rough_stack
    image = stored(stack, large_photo.read_bytes(), "killer.jpg")
    job_id = send(stack, "cv.hsv", hsv_job(*[image] * 64))
    for number in range(MAX_DELIVERIES):
        kill_what_runs(stack, job_id, number)
    with pytest.raises(Exception, match="given up: its worker ended 3 times"):
        answer_to(stack, job_id)
    assert stack.states([job_id]) == ["dead"]
    [letter] = [each for each in stack.documents("dead", "list") if each["id"] == job_id]
    assert letter["task"] == "cv.hsv"
    assert len(letter["args"][0]["items"]) == 64
    assert len(letter["history"]) == MAX_DELIVERIES
    assert "its worker ended 3 times" in stack.ok("dead", "show", job_id).stdout
    # The worker that it took down runs good jobs again.
    assert answer_to(stack, send(stack, "cv.hsv", good_job()))["op"] == "hsv"

    assert stack.ok("dead", "retry", job_id).stdout == f"{job_id} sent again\n"
    stack.wait_running(job_id)
    assert job_id not in {each["id"] for each in stack.documents("dead", "list")}
    stack.ok("cancel", job_id)
    stack.wait_ended([job_id])
    assert stack.run("dead", "drop", job_id).returncode == 1


def kill_what_runs(stack: Stack, job_id: str, number: int) -> None:
    """Kill the pool process that runs a job, once it has started for the so-many-th time."""

    def runs() -> psutil.Process | None:
        state, lost = stack.redis.hmget(f"agewell:job:{job_id}", "state", "lost")
        if state != b"running" or int(lost or 0) != number:
            return None
        workers = (stack.celery.control.inspect(timeout=1).active() or {}).values()
        pids = {job["worker_pid"] for jobs in workers for job in jobs if job["id"] == job_id}
        return next((each for each in stack.pool if each.pid in pids), None)

    until(runs, 90, lambda: stack.jobs([job_id])).kill()


@pytest.mark.slow
def test_a_job_that_is_given_up_is_sent_again_with_the_rest_of_its_chain(
    rough_stack: Stack, large_photo
):
    stack = rough_stack
    image = stored(stack, large_photo.read_bytes(), "killer.jpg")
    first = stack.celery.signature("cv.hsv", args=[hsv_job(*[image] * 16)], queue="cv")
    then = stack.celery.signature("cv.hsv", args=[{"op": "hsv"}], queue="cv")
    last = chain(first, then, app=stack.celery).apply_async()
    ids = [last.parent.id, last.id]
    for number in range(MAX_DELIVERIES):
        kill_what_runs(stack, ids[0], number)
    with pytest.raises(Exception, match="given up: its worker ended 3 times"):
        answer_to(stack, ids[1])
    assert stack.states(ids) == ["dead", "dead"]
    stack.ok("dead", "retry", ids[0])
    jobs = stack.wait_ended(ids, 180)
    assert [job["state"] for job in jobs] == ["done", "done"]
    assert len(answer_to(stack, ids[1])["items"]) == 16


def test_a_refused_message_can_be_looked_at_and_dropped(stack: Stack):
    text = "no message at all"

    def letters() -> list[dict[str, Any]]:
        return [each for each in stack.documents("dead", "list") if each["message"] == text]

    stack.redis.lpush("cv", text)
    [letter] = until(letters, 60, lambda: "a letter")
    assert letter["queue"] == "cv"
    done = stack.run("dead", "retry", letter["id"])
    assert done.returncode == 1
    assert "no job" in done.stderr
    stack.ok("dead", "drop", letter["id"])
    assert not letters()


def test_a_job_that_cannot_start_by_its_deadline_expires_unrun(stack: Stack, long_job: str, photos):
    [late] = stack.enqueue("hsv", photos / "bird.jpg", "--deadline", 1)
    [early] = stack.enqueue("hsv", photos / "bird.jpg", "--deadline", 600)
    until(lambda: stack.states([late]) == ["expired"], 30, lambda: stack.jobs([late]))
    [entry] = stack.documents("status", late)
    assert entry["state"] == "expired"
    assert entry["started_at"] is None
    assert stack.celery.AsyncResult(late).state == "REVOKED"
    done = stack.run("result", late, "--out", "unused.png")
    assert done.returncode == 1
    assert "deadline" in done.stderr
    stack.ok("cancel", long_job)
    [job] = stack.wait_ended([early])
    assert job["state"] == "done"


def test_waiting_for_a_job_with_a_deadline_ends_with_it(stack: Stack, long_job: str, photos):
    began = time.monotonic()
    done = stack.run("enqueue", "hsv", photos / "bird.jpg", "--deadline", 1, "--wait")
    assert done.returncode == 1
    assert "deadline" in done.stderr
    assert time.monotonic() - began < 60


def test_a_cancelled_job_leaves_its_queue_at_once(stack: Stack, long_job: str, photos):
    ids = stack.enqueue(
        "hsv",
        photos / "bird.jpg",
        photos / "jellyfish.jpg",
        *("-p", "bulk", "--images-per-job", 1),
    )
    assert stack.redis.zcard("agewell:order:cv") == 2
    stack.ok("cancel", ids[0])
    assert stack.redis.zcard("agewell:order:cv") == 1
    stack.ok("cancel", ids[1])
    assert stack.redis.zcard("agewell:order:cv") == 0


def test_jobs_by_state(stack: Stack):
    job_id = send(stack, "cv.hsv", good_job())
    stack.wait_ended([job_id])
    [latest] = stack.documents("jobs", "--state", "done", "--limit", 1)
    assert latest["id"] == job_id
    assert stack.documents("jobs", "--state", "done", "--since", "0s") == []
    assert stack.run("jobs", "--since", "soon").returncode == 2
    assert "done" in stack.ok("jobs").stderr
