"""Beat's scheduler: how often it looks, and that it still sends in time."""

import time
from pathlib import Path

from celery import Celery

from agewell.workers.maintenance.beat_scheduler import SLEEP_AT_LEAST_S, Scheduler


class Noting(Scheduler):
    """Notes when it would have sent a task. It has no broker."""

    producer = None

    def apply_entry(self, entry, producer=None):
        self.sent.append(time.monotonic())


def test_it_sleeps_between_looks_and_sends_each_task_in_time(tmp_path: Path):
    app = Celery("test", set_as_current=False)
    app.conf.beat_schedule = {"often": {"task": "often", "schedule": 0.3}}
    scheduler = Noting(app=app, schedule_filename=str(tmp_path / "schedule"))
    scheduler.sent = []
    began, looks = time.monotonic(), 0
    while time.monotonic() - began < 2:
        time.sleep(scheduler.tick())
        looks += 1
    assert looks <= 2 / SLEEP_AT_LEAST_S
    assert 5 <= len(scheduler.sent) <= 7
    scheduler.close()
