"""Deliveries of jobs, each run as a worker's process runs it, on a real Redis."""

from functools import partial

import redis
from celery.worker.request import Request

from shared import keys
from shared.errors import BlobStoreError

LIST = keys.waiting_list("cv", 5)
FULL = partial(redis.exceptions.OutOfMemoryError, "used memory > 'maxmemory'")
AWAY = partial(BlobStoreError, "here", "no answer")


def hsv(app, *args, **options):
    return app.signature("cv.hsv", args=args, queue="cv", **options)


def deliver(app):
    """Run the message that is next."""
    with app.connection_for_read() as connection:
        message = connection.default_channel.basic_get("cv", no_ack=True)
        Request(message, app=app, hostname="cv@here").execute()


def come_back(app, client, raw):
    """A message that a worker had when its connection was lost."""
    client.rpush(LIST, raw)
    deliver(app)
