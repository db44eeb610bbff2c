"""Requeues the jobs of dead workers at their places in the order.

Upkeep does it every second. A worker that restarts does it at once for its dead predecessor.
"""

from collections.abc import Mapping
from typing import Any, cast

import redis
from celery import Celery, bootsteps

from agewell.shared.redis import keys
from agewell.shared.redis.counters import add_counts
from agewell.shared.redis.scripts import Script
from agewell.shared.settings import Settings
from agewell.workers.consuming.take import forget_idle
from agewell.workers.consuming.unacked import give_back
from agewell.workers.process.context import context
from agewell.workers.process.heartbeat import DEAD_AFTER_S, Heartbeat
from agewell.workers.process.identity import is_predecessor, process_has_ended

_FORGET_WORKER = Script("forget_worker")


class RescuePredecessors(bootsteps.StartStopStep):  # type: ignore[misc]
    """Requeues the jobs of this worker's dead predecessors when it starts."""

    requires = (Heartbeat,)

    def start(self, consumer: Any) -> None:
        """Requeue them. The consumer is connected to Redis by now."""
        tools = context()
        worker_id = consumer.app.conf.agewell_worker_id
        rescue_predecessors(tools.client, worker_id, tools.settings, DEAD_AFTER_S)


def install(app: Celery) -> None:
    """Have the workers of an app requeue the jobs of their dead predecessors."""
    app.steps["consumer"].add(RescuePredecessors)


def rescue_jobs(client: redis.Redis, settings: Settings) -> int:
    """Requeue the jobs that dead workers had reserved. Returns how many."""
    worker_ids = _worker_ids(client)
    beats = zip(worker_ids, _left_s(client, worker_ids), strict=True)
    silent = [each for each, left_s in beats if left_s == 0]
    dead = [each for each in worker_ids if each in silent or process_has_ended(each)]
    returned = _return_jobs(client, dead, settings)
    # Keep a worker whose process has just ended: its last take may still reserve a job.
    for worker_id in silent:
        _forget(client, worker_id)
    return returned


def rescue_predecessors(
    client: redis.Redis, worker_id: str, settings: Settings, alive_s: float
) -> int:
    """Requeue the jobs of dead workers that this worker replaces.

    Args:
        client: Redis.
        worker_id: id of this worker.
        settings: how the queues age, and how often a job may be lost.
        alive_s: TTL of a heartbeat in seconds.

    Returns:
        How many jobs were requeued.
    """
    others = _worker_ids(client)
    beats = _left_s(client, others)
    dead = [
        each
        for each, left_s in zip(others, beats, strict=True)
        if is_predecessor(each, worker_id, alive_s - left_s)
    ]
    returned = _return_jobs(client, dead, settings)
    for each in dead:
        client.delete(keys.worker_alive(each))
        _forget(client, each)
    return returned


def _forget(client: redis.Redis, worker_id: str) -> None:
    held = [keys.WORKER_IDS, keys.worker_alive(worker_id), keys.reserved(worker_id)]
    _FORGET_WORKER(client, held, [worker_id])
    forget_idle(client, keys.reserved(worker_id))


def _worker_ids(client: redis.Redis) -> list[str]:
    return [each.decode() for each in cast("set[bytes]", client.smembers(keys.WORKER_IDS))]


def _left_s(client: redis.Redis, worker_ids: list[str]) -> list[float]:
    """Return the seconds until each worker's heartbeat expires, or 0 if it has."""
    pipe = client.pipeline(transaction=False)
    for each in worker_ids:
        pipe.pttl(keys.worker_alive(each))
    return [max(0, left_ms) / 1000 for left_ms in pipe.execute()]


def _return_jobs(client: redis.Redis, worker_ids: list[str], settings: Settings) -> int:
    aging_k = settings.k_by_queue()
    returned = sum(
        _return_of(client, each, aging_k, settings.max_deliveries) for each in worker_ids
    )
    if returned:
        add_counts(client, keys.COUNTS, [("returned", returned)])
    return returned


def _return_of(
    client: redis.Redis, worker_id: str, aging_k: Mapping[str, float], lost_max: int
) -> int:
    reserved = keys.reserved(worker_id)
    tags = cast("list[bytes]", client.hkeys(reserved))
    # Messages of plain lists return to the head, so the last one taken goes first.
    return sum(
        give_back(client, reserved, tag.decode(), aging_k, lost_max=lost_max)
        for tag in sorted(tags, reverse=True)
    )
