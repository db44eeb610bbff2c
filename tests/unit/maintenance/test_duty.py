"""Duties of upkeep run one at a time."""

import threading
from collections.abc import Callable

import pytest
from celery import Celery

from agewell.shared.protocol.tasks import Task
from agewell.workers.maintenance.duty import duty


def _of_an_app(task: Task) -> Callable[[], None]:
    """The duty as an app of its own has it: the current one may be that of another test."""
    with Celery("duties", set_as_current=False) as app:
        run: Callable[[], None] = app.tasks[task.value].run
        return run


def test_a_duty_that_hangs_holds_up_no_other(caplog):
    """Its next runs return at once: they would take the worker's other threads."""

    began, go_on, runs = threading.Event(), threading.Event(), []

    @duty(Task.KEEP_BLOBS)
    def hang():
        runs.append(1)
        began.set()
        assert go_on.wait(30)

    run = _of_an_app(Task.KEEP_BLOBS)
    thread = threading.Thread(target=run)
    thread.start()
    assert began.wait(30)
    run()
    assert len(runs) == 1
    assert "the previous run has not finished" in caplog.text
    go_on.set()
    thread.join()
    run()
    assert len(runs) == 2


def test_a_duty_that_fails_runs_again():
    runs = []

    @duty(Task.SWEEP_BLOBS)
    def fail():
        runs.append(1)
        raise OSError("away")

    run = _of_an_app(Task.SWEEP_BLOBS)
    for _ in range(2):
        with pytest.raises(OSError, match="away"):
            run()
    assert len(runs) == 2
