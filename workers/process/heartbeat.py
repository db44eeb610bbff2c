"""A worker's heartbeat: a key that exists as long as its main loop beats.

Each lifetime of a worker has an id and reserves jobs in a hash of its own. If its key is gone, or
upkeep sees that its process is, the worker is dead, and its jobs return to their queues
(`agewell.workers.maintenance.rescue`).

How long that takes: on one machine upkeep sees the process end, within a second. From another
machine or container it cannot: then the key outlives the worker by `DEAD_AFTER_S`.

A worker that is alive but slow has eight beats to show it. A library that holds Python's
interpreter while it loads keeps a main loop from beating for a second or two; a machine with ten
times as many busy threads as cores serves each of them within a second. A worker that is taken for
dead by mistake loses nothing: its jobs run a second time, and end once.
"""

from collections.abc import Iterable
from typing import Any

import redis
from celery import Celery, bootsteps, signals
from celery.worker.consumer.tasks import Tasks

from agewell.shared.queue.publish import ORDERED
from agewell.shared.redis import keys
from agewell.shared.redis.clock import RedisClock
from agewell.shared.redis.scripts import Script, load_all
from agewell.workers.process.context import context
from agewell.workers.process.identity import name_worker

_BEAT = Script("beat")

HEARTBEAT_S = 1.0
DEAD_AFTER_S = 8
"""Eight heartbeats: a worker that swaps or waits for a slow Redis is not taken for dead."""


class Heartbeat(bootsteps.StartStopStep):  # type: ignore[misc]
    """Keeps the worker's key alive, from its main loop: a hung loop is a dead worker."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._timer_entry: Any = None

    def start(self, consumer: Any) -> None:
        """Beat now, before the first job is taken, and every so often from then on."""
        worker_id = consumer.app.conf.agewell_worker_id
        client = context().client
        load_all(client)
        self._queues = [
            queue for queue in consumer.app.amqp.queues.consume_from if queue in ORDERED
        ]
        self._clock = RedisClock()
        self._beat(consumer, client, worker_id)
        self._timer_entry = consumer.timer.call_repeatedly(
            HEARTBEAT_S, self._beat, (consumer, client, worker_id)
        )

    def _beat(self, consumer: Any, client: redis.Redis, worker_id: str) -> None:
        beat(client, worker_id, self._queues, self._clock.now(client))
        if consumer.task_consumer is not None:
            consumer.task_consumer.channel.qos.acknowledge_ended()

    def stop(self, consumer: Any) -> None:
        """End this lifetime: what the worker still holds is returned like a dead worker's.

        The worker stops, and has given its jobs back itself; or it has lost its connection, and can
        acknowledge nothing that it took over it.
        """
        if self._timer_entry is not None:
            self._timer_entry.cancel()
        _name_this_worker(consumer.hostname, consumer.app.conf)


def install(app: Celery) -> None:
    """Have the workers of an app reserve under an id of their own, and beat."""
    app.steps["consumer"].add(Heartbeat)
    signals.celeryd_init.connect(_name_this_worker, weak=False)


def _name_this_worker(sender: str, conf: Any, **_: Any) -> None:
    """Before the worker connects: a restarted worker must not pass for the one that died."""
    worker_id = name_worker(sender)
    conf.agewell_worker_id = worker_id
    options = {"unacked_key": keys.reserved(worker_id)}
    conf.broker_transport_options = conf.broker_transport_options | options


def beat(client: redis.Redis, worker_id: str, queues: Iterable[str], now: float) -> None:
    """Say that a worker lives, and wake an idle one if jobs wait that nobody was told of."""
    _BEAT(
        client,
        [
            keys.worker_alive(worker_id),
            keys.WORKER_IDS,
            *(key for queue in queues for key in keys.of_queue(queue)),
        ],
        [DEAD_AFTER_S, worker_id, now],
    )
