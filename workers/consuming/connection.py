"""How a worker's app publishes and consumes: as a producer's does, through the workers' channel."""

from agewell.shared.celery import transport
from agewell.workers.consuming.channel import Channel


class Connection(transport.Connection):
    """A connection that takes messages as `agewell.workers.consuming.channel` says."""

    channel_class = Channel


class WorkerAMQP(transport.AMQP):
    """Celery's `app.amqp` of a worker."""

    Connection = Connection
