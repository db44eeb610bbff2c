"""A worker's connection: it publishes like a producer and consumes through the workers' channel."""

from agewell.shared.celery import transport
from agewell.workers.consuming.channel import Channel


class Connection(transport.Connection):
    """A kombu connection that takes messages through `agewell.workers.consuming.channel`."""

    channel_class = Channel


class WorkerAMQP(transport.AMQP):
    """Celery's `app.amqp` for a worker."""

    Connection = Connection
