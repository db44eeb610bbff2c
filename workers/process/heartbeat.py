"""A worker's heartbeat: a key in Redis that expires if the worker's main loop stops beating.

Each start of a worker has its own id, and its own hash of reserved jobs. If the key is gone, or
upkeep sees that the process is gone, the worker is dead, and its jobs are requeued
(`agewell.workers.maintenance.rescue`).

Upkeep on the same machine sees within a second that a process has ended. Upkeep on another machine
or in another container cannot see it, so it waits until the key expires after `DEAD_AFTER_S`.

A worker that is alive but slow has eight seconds until its key expires. A library that holds
Python's interpreter while it loads keeps a main loop from beating for a second or two. A machine
with ten times as many busy threads as cores serves each of them within a second. A worker that is
taken for dead by mistake loses nothing: its jobs run a second time, and end once.
"""

from collections.abc import Collection
from typing import Any

import redis
from celery import Celery, bootsteps, signals
from celery.worker.consumer.tasks import Tasks

from agewell.shared.queue.forecast.slots import heartbeat_text
from agewell.shared.queue.publish import ORDERED
from agewell.shared.redis import keys
from agewell.shared.redis.clock import RedisClock
from agewell.shared.redis.scripts import Script, load_all
from agewell.workers.process.context import context
from agewell.workers.process.identity import name_worker
from agewell.workers.process.pulse import note_healthy
from agewell.workers.process.ready import notify_alive

_BEAT = Script("beat")

HEARTBEAT_S = 1.0
DEAD_AFTER_S = 8
"""TTL of the heartbeat key, eight heartbeats. A worker that swaps or waits for a slow Redis
survives."""


class Heartbeat(bootsteps.StartStopStep):  # type: ignore[misc]
    """Refreshes the worker's key from its main loop, so a worker whose loop hangs is dead."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._timer_entry: Any = None

    def start(self, consumer: Any) -> None:
        """Beat now, before the first job is taken, and then once per `HEARTBEAT_S`."""
        worker_id = consumer.app.conf.agewell_worker_id
        client = context().client
        load_all(client)
        self._clock = RedisClock()
        self._beat(consumer, client, worker_id)
        self._timer_entry = consumer.timer.call_repeatedly(
            HEARTBEAT_S, self._beat, (consumer, client, worker_id)
        )

    def _beat(self, consumer: Any, client: redis.Redis, worker_id: str) -> None:
        notify_alive()
        # `celery control` may have changed the queues and the pool.
        queues, slots = _ordered_queues(consumer.app), consumer.pool.num_processes
        beat(client, worker_id, queues, self._clock.now(client), slots)
        for queue in queues:
            note_healthy(context().settings.health_dir, queue)
        if consumer.task_consumer is not None:
            consumer.task_consumer.channel.qos.acknowledge_ended()

    def stop(self, consumer: Any) -> None:
        """End this id of the worker: upkeep requeues the jobs that it still holds.

        Either the worker stops and has requeued its jobs itself, or it has lost its connection and
        can no longer acknowledge the jobs that it took over it.
        """
        if self._timer_entry is not None:
            self._timer_entry.cancel()
        _name_this_worker(consumer.hostname, consumer.app.conf)


def _ordered_queues(app: Celery) -> list[str]:
    """Return the queues with an order that the worker takes from."""
    return [queue for queue in app.amqp.queues.consume_from if queue in ORDERED]


def install(app: Celery) -> None:
    """Give each worker of an app its own id, under which it reserves jobs, and a heartbeat."""
    app.steps["consumer"].add(Heartbeat)
    signals.celeryd_init.connect(_name_this_worker, weak=False)


def _name_this_worker(sender: str, conf: Any, **_: Any) -> None:
    """Give the worker a new id before it connects, so that it is not mistaken for the dead one."""
    worker_id = name_worker(sender)
    conf.agewell_worker_id = worker_id
    options = {"unacked_key": keys.reserved(worker_id)}
    conf.broker_transport_options = conf.broker_transport_options | options


def beat(
    client: redis.Redis, worker_id: str, queues: Collection[str], now: float, slots: int = 1
) -> None:
    """Refresh a worker's heartbeat, and wake an idle worker if jobs wait that woke nobody.

    Args:
        client: Redis.
        worker_id: of the run of the worker.
        queues: the queues with an order that it takes from.
        now: Unix time in seconds, by Redis's clock.
        slots: how many jobs it runs at the same time.
    """
    _BEAT(
        client,
        [
            keys.worker_alive(worker_id),
            keys.WORKER_IDS,
            *(key for queue in queues for key in keys.of_queue(queue)),
        ],
        [DEAD_AFTER_S, worker_id, now, heartbeat_text(slots, queues)],
    )
