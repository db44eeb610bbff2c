"""Deliveries of jobs, each run as a worker's process runs it, on a real Redis."""

from contextlib import contextmanager
from functools import partial

import redis
from celery.worker.request import Request

from agewell.shared.errors import BlobStoreError
from agewell.shared.redis import keys
from agewell.workers.consuming.unacked import give_back
from tests.support.consuming import RUN, scheduled_ids

FULL = partial(redis.exceptions.OutOfMemoryError, "used memory > 'maxmemory'")
AWAY = partial(BlobStoreError, "here", "no answer")


def hsv(app, *args, **options):
    return app.signature("cv.hsv", args=args, queue="cv", **options)


@contextmanager
def taken(app):
    """Take the next message as a worker does, and give it back unless it is acknowledged."""
    with app.connection_for_read() as connection:
        message = connection.default_channel.basic_get("cv")
        assert message is not None
        yield message


def run(app, message):
    """Run a message's task to its end, and acknowledge it."""

    def acknowledge(*_):  # `execute` rejects retried jobs, but a worker acknowledges them
        message.ack()

    options = {"on_ack": acknowledge, "on_reject": acknowledge}
    Request(message, app=app, hostname="cv@here", **options).execute()


def deliver(app):
    """Run the job that is next."""
    with taken(app) as message:
        run(app, message)


def lose_worker(client):
    """Return the worker's jobs, as if it were dead."""
    for tag in sorted(client.hkeys(keys.reserved(RUN))):
        assert give_back(client, keys.reserved(RUN), tag.decode(), {}, lost_max=3)


def make_due(client):
    """Let the time of every scheduled job come."""
    for job_id in scheduled_ids(client):
        place = client.hget(keys.job(job_id), "place")
        client.zadd(keys.scheduled("cv"), {place: 0})


def deliver_again(app, client, times):
    """Run the next job this many times, each time as soon as it is due."""
    for _ in range(times):
        make_due(client)
        deliver(app)
