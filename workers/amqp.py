"""How a worker's app publishes and consumes: like a producer's, through the workers' channel."""

from shared import transport
from workers.channel import Channel


class Connection(transport.Connection):
    """A connection that takes messages as `workers.channel` says."""

    channel_class = Channel


class WorkerAMQP(transport.AMQP):
    """Celery's `app.amqp` of a worker."""

    Connection = Connection
