"""Beat while Redis is away."""

import logging

from agewell.shared.celery.app import make_app
from agewell.shared.settings import Settings
from agewell.workers.maintenance.beat_scheduler import Scheduler

QUIET = {"ignore_result": True, "retry": False}


def test_a_task_that_cannot_be_sent_is_told_in_one_line(tmp_path, caplog):
    app = make_app(Settings(redis_url=f"unix://{tmp_path}/nobody"))
    scheduler = Scheduler(app, schedule_filename=str(tmp_path / "schedule"), lazy=True)
    entry = scheduler.Entry(name="sweep", task="upkeep.sweep", schedule=1.0, app=app, options=QUIET)
    with caplog.at_level(logging.ERROR):
        scheduler.apply_entry(entry)
    [record] = caplog.records
    assert record.exc_info is None
    [line] = record.getMessage().splitlines()
    assert "sweep" in line
    assert "nobody" in line
