"""Which job is next, and jobs that shall not be."""

import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.messages import good_job, send
from tests.support.stack import Stack

LONG_BLEND_S = 45.0
"""Less than the blend of seven megapixels takes on a busy machine."""

LONG_S = 12.0
"""Less than each long job here takes. A cancelled one has ended by then."""


def test_an_urgent_job_behind_many_bulk_ones_is_started_next(
    stack: Stack, long_job: str, photos: Path
):
    bulk = stack.enqueue("hsv", photos, "--priority", "bulk", "--images-per-job", 1)
    [urgent] = stack.enqueue("hsv", photos / "bird.jpg", "--priority", "urgent")
    assert len(bulk) == 20
    stack.ok("cancel", long_job)
    jobs = stack.wait_ended([*bulk, urgent])
    assert all(job["state"] == "done" for job in jobs)
    first = min(jobs, key=lambda job: job["started_at"])
    assert first["id"] == urgent


def test_jobs_of_one_level_start_in_the_order_they_were_sent(
    stack: Stack, long_job: str, photos: Path
):
    ids = stack.enqueue("hsv", photos, "--images-per-job", 1)
    stack.ok("cancel", long_job)
    jobs = stack.wait_ended(ids)
    assert [job["id"] for job in sorted(jobs, key=lambda job: job["started_at"])] == ids


def test_a_waiting_job_that_is_cancelled_never_runs(
    stack: Stack, long_job: str, photos: Path, tmp_path: Path
):
    [job_id] = stack.enqueue("hsv", photos / "bird.jpg")
    [neighbour] = stack.enqueue("hsv", photos / "jellyfish.jpg")
    assert stack.ok("cancel", job_id).stdout == f"{job_id} cancelled\n"
    assert stack.celery.AsyncResult(job_id).state == "REVOKED"
    [waiting] = stack.documents("status", job_id)
    assert waiting["state"] == "cancelled"
    stack.ok("cancel", long_job)
    assert [job["state"] for job in stack.wait_ended([neighbour])] == ["done"]
    [job] = stack.documents("status", job_id)
    assert job["state"] == "cancelled"
    assert job["started_at"] is None
    assert stack.celery.AsyncResult(job_id).state == "REVOKED"


def test_the_result_of_a_cancelled_job_says_that_it_was_cancelled(
    stack: Stack, long_job: str, photos: Path, tmp_path: Path
):
    [job_id] = stack.enqueue("hsv", photos / "bird.jpg")
    stack.ok("cancel", job_id)
    existing = tmp_path / "old.png"
    existing.write_bytes(b"mine")
    done = stack.run("result", job_id, "--out", existing)
    assert done.returncode == 1
    assert job_id in done.stderr
    assert "cancelled" in done.stderr
    assert existing.read_bytes() == b"mine"


def test_a_running_job_of_many_images_ends_when_it_is_cancelled(stack: Stack, long_job: str):
    asked_at = time.monotonic()
    assert "it ends at its next step" in stack.ok("cancel", long_job).stdout
    [job] = stack.wait_ended([long_job])
    assert time.monotonic() - asked_at < LONG_S
    assert job["state"] == "cancelled"
    assert stack.celery.AsyncResult(long_job).state == "REVOKED"


@pytest.mark.slow
def test_a_running_poisson_blend_ends_when_it_is_cancelled(
    stack: Stack, large_photo: Path, tmp_path: Path
):
    noise, mask = tmp_path / "noise.jpg", tmp_path / "mask.png"
    values = np.random.default_rng(1).integers(0, 256, (3000, 4000, 3), np.uint8)
    cv2.imwrite(str(noise), values)
    region = np.zeros((3000, 4000), np.uint8)
    region[100:2800, 100:2800] = 255  # seven megapixels, less than the limit of eight
    cv2.imwrite(str(mask), region)
    [job_id] = stack.enqueue(
        *("poisson", noise, mask, large_photo, "--gradient", "max", "--priority", "0")
    )
    stack.wait_running(job_id)
    asked_at = time.monotonic()
    stack.ok("cancel", job_id)
    [job] = stack.wait_ended([job_id])
    assert job["state"] == "cancelled"
    assert time.monotonic() - asked_at < LONG_BLEND_S


def test_a_job_that_has_ended_cannot_be_cancelled(stack: Stack):
    job_id = send(stack, "cv.hsv", good_job())
    stack.wait_ended([job_id])
    done = stack.run("cancel", job_id)
    assert done.returncode == 1
    assert f"{job_id} has ended already: done" in done.stderr
    assert [job["state"] for job in stack.jobs([job_id])] == ["done"]
