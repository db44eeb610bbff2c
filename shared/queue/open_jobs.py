"""Tells if any job waits or runs."""

import redis

from agewell.shared.protocol.tasks import WORK_QUEUES
from agewell.shared.queue.record import State
from agewell.shared.queue.reserved import reserved_jobs
from agewell.shared.redis import keys


def anything_is_open(client: redis.Redis) -> bool:
    """Return True if any job waits or runs, or a worker has reserved a job of a work queue."""
    pipe = client.pipeline(transaction=False)
    for state in (State.WAITING, State.RUNNING):
        pipe.zcard(keys.jobs(state))
    for queue in WORK_QUEUES:
        for inlet in keys.inlets(queue.value):
            pipe.llen(inlet)
    pipe.smembers(keys.WORKER_IDS)
    *counts, worker_ids = pipe.execute()
    reserved = reserved_jobs(client, worker_ids)
    return any(counts) or any(reserved[queue.value] for queue in WORK_QUEUES)
