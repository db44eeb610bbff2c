"""Load of the largest tenants of each queue, at a cost that does not grow with their number.

A team counts as one tenant, with the jobs of all its members.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import redis

from agewell.shared.protocol.tasks import Queue
from agewell.shared.protocol.tenants import team_of
from agewell.shared.queue.order import id_of
from agewell.shared.queue.tenants import TenantLimits
from agewell.shared.redis import keys

LARGEST = 20
"""How many tenants of a queue to name."""

READ = 1000
"""How many names to read, of the tenants, teams and members with the most waiting jobs."""


@dataclass(frozen=True)
class TenantLoad:
    """Jobs of one tenant in one queue, and its limits, which hold for all queues together."""

    tenant: str
    weight: float
    max_running: int | None
    """None means no limit."""
    rate_per_s: float | None
    """None means no limit."""
    waiting: int
    running: int
    oldest_wait_s: float | None
    """How long the tenant's next job has waited. None if no job waits, or if all members of a team
    are at their limits."""
    predicted_wait_s: float | None = None
    """How long a job of the level normal, sent now, would wait. For a team, behind all its jobs."""


@dataclass(frozen=True)
class OtherTenants:
    """Jobs in one queue of all tenants that are not among the largest."""

    waiting: int = 0
    running: int = 0


NO_OTHERS = OtherTenants()


class TenantLoads(NamedTuple):
    """Load of the tenants of one queue."""

    largest: tuple[TenantLoad, ...] = ()
    """Those with the most waiting and running jobs, the largest first."""
    others: OtherTenants = NO_OTHERS


class _Jobs(NamedTuple):
    """Numbers of jobs in one queue."""

    waiting: int
    """Of all tenants."""
    running: Counter[str]
    largest: list[str]


def tenant_loads(
    client: redis.Redis, reserved: Mapping[str, Sequence[str]], now: float
) -> dict[str, TenantLoads]:
    """Return the load of the tenants of each queue, in at most three round trips.

    Args:
        client: Redis.
        reserved: ids of the jobs that workers have reserved, by queue.
        now: Unix time in seconds, by Redis's clock.
    """
    jobs = _jobs(client, reserved)
    shown = [(queue, name) for queue, found in jobs.items() for name in found.largest]
    waiting, since = _waiting(client, shown) if shown else ([], [])
    limits = _limits(client, [name for _, name in shown]) if shown else []
    loads: dict[str, list[TenantLoad]] = {queue: [] for queue in jobs}
    for number, (queue, name) in enumerate(shown):
        began, limit = since[number], limits[number]
        loads[queue].append(
            TenantLoad(
                tenant=name,
                weight=limit.weight,
                max_running=limit.max_running or None,
                rate_per_s=limit.rate_per_s or None,
                waiting=waiting[number],
                running=jobs[queue].running[name],
                oldest_wait_s=None if began is None else max(0.0, now - began),
            )
        )
    return {
        queue: TenantLoads(tuple(loads[queue]), _others(found, loads[queue]))
        for queue, found in jobs.items()
    }


def _jobs(client: redis.Redis, reserved: Mapping[str, Sequence[str]]) -> dict[str, _Jobs]:
    """Find the largest tenants of each queue."""
    pipe = client.pipeline(transaction=False)
    for queue in Queue:
        pipe.zrevrange(keys.tenants(queue.value), 0, READ - 1, withscores=True)
        pipe.zcard(keys.held(queue.value))
        for job_id in reserved.get(queue.value, ()):
            pipe.hget(keys.job(job_id), "tenant")
    found = iter(pipe.execute())
    jobs = {}
    for queue in Queue:
        waiting = Counter({name.decode(): int(count) for name, count in next(found)})
        all_waiting = next(found)
        owners = [next(found) for _ in reserved.get(queue.value, ())]
        running = Counter(_top(owner.decode()) for owner in owners if owner)
        jobs[queue.value] = _Jobs(all_waiting, running, _largest(waiting + running))
    return jobs


def _largest(jobs: Counter[str]) -> list[str]:
    """Return the tenants and teams with the most jobs, without the members of teams."""
    top = {name: count for name, count in jobs.items() if team_of(name) is None}
    return sorted(top, key=lambda name: (-top[name], name))[:LARGEST]


def _top(name: str) -> str:
    return team_of(name) or name


def _waiting(
    client: redis.Redis, shown: Sequence[tuple[str, str]]
) -> tuple[list[int], list[float | None]]:
    """Return how many jobs of each tenant wait, and since when its next one does, or None."""
    pipe = client.pipeline(transaction=False)
    for queue, name in shown:
        pipe.zscore(keys.tenants(queue), name)
        pipe.zrange(keys.tenant_jobs(queue, name), 0, 0)
    found = pipe.execute()
    for places in found[1::2]:
        pipe.hget(keys.job(id_of(places[0]) if places else ""), "since")
    since = [None if each is None else float(each) for each in pipe.execute()]
    return [int(count or 0) for count in found[::2]], since


def _limits(client: redis.Redis, names: Iterable[str]) -> list[TenantLimits]:
    found = cast("list[bytes | None]", client.hmget(keys.TENANT_LIMITS, list(names)))
    return [
        TenantLimits() if text is None else TenantLimits.of_text(text.decode()) for text in found
    ]


def _others(jobs: _Jobs, largest: Iterable[TenantLoad]) -> OtherTenants:
    waiting = jobs.waiting - sum(each.waiting for each in largest)
    running = jobs.running.total() - sum(each.running for each in largest)
    # Jobs come and go between two commands, so that the parts may be more than their sum.
    return OtherTenants(max(0, waiting), running)
