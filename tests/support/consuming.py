"""A consumer on the workers' channel, without a worker around it."""

import json
import time
from contextlib import contextmanager
from queue import Empty

import kombu

from agewell.shared.celery.app import make_app
from agewell.shared.queue.order import SEQUENCE_DIGITS
from agewell.shared.redis import keys
from agewell.workers.consuming.connection import WorkerAMQP

RUN = "cv@here:1"


def worker_app(settings, run=RUN):
    """The app of a worker, by the name of its run."""
    app = make_app(settings, amqp=WorkerAMQP)
    where = {"unacked_key": keys.reserved(run)}
    app.conf.broker_transport_options = app.conf.broker_transport_options | where
    return app


def send(app, count=1, **options):
    return [app.send_task("cv.hsv", args=[{}], **options).id for _ in range(count)]


@contextmanager
def consuming(app, at_most=1):
    """Start a consumer as a worker's. Yields its messages, and the connection to look for more."""
    got = []
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        queue = app.amqp.queues["cv"]
        consumer = kombu.Consumer(
            channel, [queue], on_message=got.append, accept=["json"], prefetch_count=at_most
        )
        with consumer:
            yield got, connection


def look(connection, timeout_s=5.0, until=lambda: False):
    """Let the connection work until something has come or the time is over."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and not until():
        try:
            connection.drain_events(timeout=0.05)
        except (TimeoutError, Empty):
            continue


def ids(messages):
    return [message.headers["id"] for message in messages]


def waiting_ids(client, queue="cv"):
    """The jobs in a queue's order, the next one first."""
    return [_id_of(place) for place in client.zrange(keys.order(queue), 0, -1)]


def scheduled_ids(client, queue="cv"):
    """The jobs that wait for their time, the next one first."""
    return [_id_of(place) for place in client.zrange(keys.scheduled(queue), 0, -1)]


def _id_of(place):
    return place.decode()[SEQUENCE_DIGITS:]


def message_of(client, job_id):
    """The message in a job's record."""
    return json.loads(client.hget(keys.job(job_id), "message"))
