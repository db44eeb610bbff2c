"""Which workers live, and what the dead ones held.

kombu keeps the messages that workers have reserved in one hash for all of them, so nobody can tell
whose they are, and a dead worker's come back only when the visibility timeout has passed. Here
each run of a worker has a hash of its own, and a key that it keeps alive. When that key is gone, or
upkeep sees that the process is, the worker is dead: its messages return to their queues at once.

How long that takes. On one machine: the next look is 1 s away
(`shared.celery_app.RETURN_JOBS_INTERVAL_S`), up to 4 s where beat and upkeep have no time for it (a
look that is later still is dropped); a worker that is started again needs three or four seconds to
be ready, all the while. From another machine, or another container, the process cannot be seen:
then its key outlives it by `DEAD_AFTER_S`, 8 s, which makes 9 s with the look, and 12 s at the
worst. What came back is run before all else of its level.

Who is alive but slow has eight beats to show it. What keeps a main loop from beating: a library
that holds Python's interpreter while it loads, a second or two; a machine with ten times as many
threads to run as it has cores, which serves each of them within a second. One that is taken for
dead by mistake loses nothing: its jobs run a second time, and end once.
"""

from typing import Any, cast

import redis
from celery import Celery, bootsteps, signals
from celery.worker.consumer.tasks import Tasks

from shared import keys
from shared.counters import add_counts
from shared.scripts import script
from workers.context import context
from workers.processes import has_ended, name_run
from workers.reserved import give_back

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
        """Beat now, before the first message is taken, and every so often from then on."""
        run = consumer.app.conf.agewell_worker_run
        client = context().client
        beat(client, run)
        self._timer_entry = consumer.timer.call_repeatedly(
            HEARTBEAT_S, self._beat, (consumer, client, run)
        )

    def _beat(self, consumer: Any, client: redis.Redis, run: str) -> None:
        beat(client, run)
        consumer.task_consumer.channel.ask_again()

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
    run = name_run(sender)
    conf.agewell_worker_run = run
    where = {"unacked_key": keys.unacked(run)}
    conf.broker_transport_options = conf.broker_transport_options | where


def beat(client: redis.Redis, run: str) -> None:
    """Say that a run of a worker lives."""
    client.eval(
        script("workers", "beat"),
        2,
        keys.worker_alive(run),
        keys.WORKER_RUNS,
        DEAD_AFTER_S,
        run,
    )


def return_jobs_of_dead_workers(client: redis.Redis) -> int:
    """Put what dead workers held back at the heads of its queues; how many jobs."""
    members = cast("set[bytes]", client.smembers(keys.WORKER_RUNS))
    runs = [run.decode() for run in members]
    beats = client.mget([keys.worker_alive(run) for run in runs]) if runs else []
    silent = [run for run, beat_ in zip(runs, beats, strict=True) if beat_ is None]
    returned = sum(_return_jobs(client, run) for run in runs if run in silent or has_ended(run))
    # One that has just ended stays: what it asked for last may still be on its way, and come to it.
    for run in silent:
        held = (keys.WORKER_RUNS, keys.worker_alive(run), keys.unacked(run))
        client.eval(script("workers", "strike_off"), len(held), *held, run)
    if returned:
        add_counts(client, keys.COUNTS, [("returned", returned)])
    return returned


def _return_jobs(client: redis.Redis, run: str) -> int:
    held = cast("list[bytes]", client.hkeys(keys.unacked(run)))
    # Each goes to the head, so the one taken last goes first.
    return sum(give_back(client, keys.unacked(run), tag.decode()) for tag in sorted(held)[::-1])
