"""Jobs that workers have reserved. They are few: those that run."""

from collections import defaultdict
from collections.abc import Iterable

import redis

from agewell.shared.redis import keys


def reserved_jobs(client: redis.Redis, worker_ids: Iterable[bytes]) -> dict[str, list[str]]:
    """Return the ids of the jobs that workers have reserved, by queue.

    Args:
        client: Redis.
        worker_ids: the members of `keys.WORKER_IDS`.
    """
    pipe = client.pipeline(transaction=False)
    for worker_id in worker_ids:
        pipe.hvals(keys.reserved(worker_id.decode()))
    found: dict[str, list[str]] = defaultdict(list)
    for held in pipe.execute():
        for entry in held:
            if entry.startswith(b"\n"):
                _, queue, job_id = entry.split(b"\n", 2)
                found[queue.decode()].append(job_id.decode())
    return found
