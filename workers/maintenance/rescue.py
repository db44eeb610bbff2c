"""The jobs of dead workers return to their places in the order."""

from collections.abc import Mapping
from typing import cast

import redis

from shared import keys
from shared.aging import k_by_queue
from shared.counters import add_counts
from shared.queue.scripts import Script
from shared.settings import Settings
from workers.consuming.unacked import give_back
from workers.processes import has_ended, precedes

JOBS_A_CALL = 1000

_FORGET_WORKER = Script("forget_worker")


def rescue(client: redis.Redis, settings: Settings) -> int:
    """Return what dead workers had reserved; how many jobs."""
    worker_ids = _worker_ids(client)
    beats = client.mget([keys.worker_alive(each) for each in worker_ids]) if worker_ids else []
    silent = [each for each, beat in zip(worker_ids, beats, strict=True) if beat is None]
    dead = [each for each in worker_ids if each in silent or has_ended(each)]
    returned = _return_jobs(client, dead, settings)
    # One that has just ended stays: its last take may still be on its way, and reserve a job.
    for worker_id in silent:
        held = [keys.WORKER_IDS, keys.worker_alive(worker_id), keys.reserved(worker_id)]
        _FORGET_WORKER(client, held, [worker_id])
    return returned


def rescue_predecessors(client: redis.Redis, worker_id: str, settings: Settings) -> int:
    """Return what dead workers had reserved in whose place this one has come; how many jobs."""
    dead = [each for each in _worker_ids(client) if precedes(each, worker_id)]
    return _return_jobs(client, dead, settings)


def _worker_ids(client: redis.Redis) -> list[str]:
    return [each.decode() for each in cast("set[bytes]", client.smembers(keys.WORKER_IDS))]


def _return_jobs(client: redis.Redis, worker_ids: list[str], settings: Settings) -> int:
    aging_k = k_by_queue(settings)
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
    # Messages of plain lists go to the head, so the one taken last goes first.
    return sum(
        give_back(client, reserved, tag.decode(), aging_k, lost_max=lost_max)
        for tag in sorted(tags, reverse=True)
    )
