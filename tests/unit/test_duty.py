"""Duties of upkeep run one at a time."""

import threading

import pytest

from shared.names import Task
from workers.maintenance.duty import duty


def test_a_duty_that_hangs_holds_up_no_other(caplog):
    """Its next runs return at once: they would take the worker's other threads."""

    began, go_on, runs = threading.Event(), threading.Event(), []

    @duty(Task.KEEP_BLOBS)
    def hang():
        runs.append(1)
        began.set()
        assert go_on.wait(30)

    thread = threading.Thread(target=hang)
    thread.start()
    assert began.wait(30)
    hang()
    assert len(runs) == 1
    assert "the run before has not ended yet" in caplog.text
    go_on.set()
    thread.join()
    hang()
    assert len(runs) == 2


def test_a_duty_that_fails_runs_again():
    runs = []

    @duty(Task.SWEEP_BLOBS)
    def fail():
        runs.append(1)
        raise OSError("away")

    for _ in range(2):
        with pytest.raises(OSError, match="away"):
            fail()
    assert len(runs) == 2
