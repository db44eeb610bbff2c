"""A Celery app whose jobs only sleep for a given time, and note when they start: load by the clock.

Everything around them is the real thing: the queue, its settings, reservation, heartbeats.
"""

import json
import time

from celery import shared_task

from agewell.shared.celery.app import make_app
from agewell.shared.celery.enqueue_time import enqueued_at
from agewell.workers.consuming.connection import WorkerAMQP
from agewell.workers.process import heartbeat, ready
from agewell.workers.process.context import context, settings
from tests.support.timed_stack import STARTED

ready.announce()
app = make_app(settings(), include=["tests.support.timed"], amqp=WorkerAMQP)
heartbeat.install(app)


@shared_task(name="cv.timed", bind=True, ignore_result=True)
def timed(task, seconds: float) -> None:
    """Note the start, then take a while."""
    start = {
        "id": task.request.id,
        "level": task.request.delivery_info["priority"],
        "enqueued_at": enqueued_at(task.request),
        "started_at": time.time(),
    }
    context().client.rpush(STARTED, json.dumps(start))
    time.sleep(seconds)
