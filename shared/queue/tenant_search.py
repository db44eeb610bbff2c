"""Search for the latest jobs of one tenant. Redis has no index of them, so it is bounded."""

import heapq
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import cast

import redis

from agewell.shared.protocol.tenants import team_of
from agewell.shared.queue.record import State
from agewell.shared.redis import keys

LOOKED_AT = 100_000
"""The search ends after this many jobs of all tenants."""

PAGE = 1000
"""Jobs to read with one command, which blocks Redis for about 1 ms."""


def latest_jobs_of(
    client: redis.Redis, tenant: str, states: Iterable[State], since: float, limit: int
) -> list[str]:
    """Return the ids of a tenant's latest jobs. The job that changed its state last comes first.

    Args:
        client: Redis.
        tenant: a tenant, or a team: then the jobs of its members are found too.
        states: the states of the jobs.
        since: leave out jobs that entered their state before this Unix time, in seconds.
        limit: return at most this many jobs.
    """
    latest = heapq.merge(*(_latest(client, state, since) for state in states))
    ids = islice((job_id for _, job_id in latest), LOOKED_AT)
    found: dict[str, None] = {}  # a job that changes its state during the search may come twice
    while len(found) < limit and (page := list(islice(ids, PAGE))):
        pipe = client.pipeline(transaction=False)
        for job_id in page:
            pipe.hget(keys.job(job_id), "tenant")
        owners = [(each or b"").decode() for each in pipe.execute()]
        found |= dict.fromkeys(
            job_id
            for job_id, owner in zip(page, owners, strict=True)
            if tenant in (owner, team_of(owner))
        )
    return list(found)[:limit]


def _latest(client: redis.Redis, state: State, since: float) -> Iterator[tuple[float, str]]:
    """Yield the negated time and the id of each job in a state, the latest first."""
    for start in range(0, LOOKED_AT, PAGE):
        found = client.zrange(
            keys.jobs(state), "+inf", since, desc=True, byscore=True,
            offset=start, num=PAGE, withscores=True,
        )  # fmt: skip
        page = cast("list[tuple[bytes, float]]", found)
        yield from ((-score, job_id.decode()) for job_id, score in page)
        if len(page) < PAGE:
            return
