"""Which workers live, and what the dead ones held.

kombu keeps the messages that workers have reserved in one hash for all of them, so nobody can tell
whose they are, and a dead worker's come back only when the visibility timeout has passed. Here
each run of a worker has a hash of its own, and a key that it keeps alive. When that key is gone the
worker is dead, and its messages return to their queues at once.
"""

import uuid
from typing import Any, cast

import redis
from celery import Celery, bootsteps, signals
from celery.worker.consumer.tasks import Tasks

from shared import keys
from workers.context import context

HEARTBEAT_S = 2.0
DEAD_AFTER_S = 10
"""Five heartbeats: a worker that swaps or waits for a slow Redis is not taken for dead."""


class Heartbeat(bootsteps.StartStopStep):  # type: ignore[misc]
    """Keeps the worker's key alive, from its main loop: a hung loop is a dead worker."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._timer_entry: Any = None

    def start(self, consumer: Any) -> None:
        """Beat now, before the first message is taken, and every so often from then on."""
        run = consumer.app.conf.agewell_worker_run
        client = context().client
        beat(client, run)
        self._timer_entry = consumer.timer.call_repeatedly(HEARTBEAT_S, beat, (client, run))

    def stop(self, consumer: Any) -> None:
        """End this run: what it still holds is returned like a dead worker's.

        The worker stops, and has given its messages back itself; or it has lost its connection,
        and can acknowledge nothing that it took over it.
        """
        if self._timer_entry is not None:
            self._timer_entry.cancel()
        _name_this_run(consumer.hostname, consumer.app.conf)


def install(app: Celery) -> None:
    """Have the workers of an app reserve under a name of their own, and beat."""
    app.steps["consumer"].add(Heartbeat)
    signals.celeryd_init.connect(_name_this_run, weak=False)


def _name_this_run(sender: str, conf: Any, **_: Any) -> None:
    """Before the worker connects: a restarted worker must not pass for the one that died."""
    run = f"{sender}:{uuid.uuid4().hex}"
    conf.agewell_worker_run = run
    conf.broker_transport_options = conf.broker_transport_options | _unacked_keys(run)


def _unacked_keys(run: str) -> dict[str, str]:
    """kombu's transport options that name where reserved messages are kept."""
    return {
        "unacked_key": keys.unacked(run),
        "unacked_index_key": keys.unacked(run) + ":index",
        "unacked_mutex_key": keys.unacked(run) + ":mutex",
    }


def beat(client: redis.Redis, run: str) -> None:
    """Say that a run of a worker lives."""
    pipe = client.pipeline()
    pipe.sadd(keys.WORKER_RUNS, run)
    pipe.set(keys.worker_alive(run), 1, ex=DEAD_AFTER_S)
    pipe.execute()


def return_jobs_of_dead_workers(app: Celery, client: redis.Redis) -> int:
    """Put what dead workers held back at the heads of its queues; how many jobs."""
    members = cast("set[bytes]", client.smembers(keys.WORKER_RUNS))
    runs = [run.decode() for run in members]
    alive = client.mget([keys.worker_alive(run) for run in runs]) if runs else []
    dead = [run for run, beats in zip(runs, alive, strict=True) if beats is None]
    return sum(_return_jobs(app, client, run) for run in dead)


def _return_jobs(app: Celery, client: redis.Redis, run: str) -> int:
    held = cast("list[bytes]", client.hkeys(keys.unacked(run)))
    tags = [tag.decode() for tag in held]
    with app.connection_for_write(transport_options=_unacked_keys(run)) as connection:
        for tag in tags:
            # kombu's own transaction: the message is in the hash or in its list, never in neither.
            connection.default_channel.qos.restore_by_tag(tag)
    client.srem(keys.WORKER_RUNS, run)
    return len(tags)
