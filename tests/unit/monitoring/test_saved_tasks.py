"""Flower keeps its tasks over a restart, and goes on without if it cannot write them."""

import logging

import pytest
from celery import Celery

from agewell.workers.monitoring.dashboard.events import ReadableEvents


def record_of(db):
    return ReadableEvents(
        Celery(), None, db=str(db), persistent=True, state_save_interval=60_000,
        max_tasks_in_memory=10,
    )  # fmt: skip


def event(kind, **fields):
    return {"type": kind, "hostname": "cv@here", "timestamp": 1.0, "local_received": 1.0, **fields}


def test_tasks_are_there_after_a_restart(tmp_path):
    before = record_of(tmp_path / "new" / "flower")
    before.state.event(event("task-received", uuid="a", name="cv.hsv", clock=1, pid=1))
    before.save_state()
    assert record_of(tmp_path / "new" / "flower").state.tasks["a"].name == "cv.hsv"


@pytest.mark.parametrize("folder", ["/proc/nowhere", "/dev/null/below"])
def test_a_folder_that_cannot_be_written_costs_the_tasks_and_one_line(caplog, folder):
    with caplog.at_level(logging.WARNING):
        record = record_of(f"{folder}/flower")
        for _ in range(3):
            record.save_state()
    [line] = [each.getMessage() for each in caplog.records]
    assert line.startswith("tasks are not saved, so Flower forgets them when it restarts")
    assert folder in line
    assert record.state.tasks.limit == 10


def test_a_folder_that_becomes_read_only_while_flower_runs_ends_nothing(tmp_path, caplog):
    record = record_of(tmp_path / "folder" / "flower")
    record.save_state()
    moved = tmp_path / "moved"
    (tmp_path / "folder").rename(moved)
    (tmp_path / "folder").touch()  # not a folder: no user may write below it, not even root
    record.save_state()
    assert "Not a directory" in caplog.text
    (tmp_path / "folder").unlink()
    moved.rename(tmp_path / "folder")
    record.save_state()
