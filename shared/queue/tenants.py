"""The limits of tenants, in Redis: weights, most running jobs, and rates."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, cast

import redis

from agewell.shared.errors import ParameterError
from agewell.shared.protocol.tasks import Queue
from agewell.shared.protocol.tenants import check_tenant
from agewell.shared.redis import keys
from agewell.shared.redis.scripts import Script

WEIGHT_MIN, WEIGHT_MAX = 0.001, 1000.0
RATE_MIN, RATE_MAX = 1 / 86_400, 100_000.0
"""Starts per second: from one a day."""
RUNNING_MAX = 100_000

_SET = Script("set_tenant")


@dataclass(frozen=True)
class TenantLimits:
    """The limits of one tenant or team."""

    weight: float = 1.0
    """Its share of the workers, compared with those of other tenants that have waiting jobs."""
    max_running: int = 0
    """The most jobs that run at the same time. 0 means no limit."""
    rate_per_s: float = 0.0
    """The most jobs that start per second. 0 means no limit."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ParameterError: a value is outside its range.
        """
        for name, value, least, most in (
            ("weight", self.weight, WEIGHT_MIN, WEIGHT_MAX),
            ("max_running", self.max_running or 1, 1, RUNNING_MAX),
            ("rate_per_s", self.rate_per_s or 1, RATE_MIN, RATE_MAX),
        ):
            if not least <= value <= most:
                raise ParameterError(name, f"{value:g}", f"{least:g} to {most:g}")

    def text(self) -> str:
        """Return the limits as Redis has them."""
        return f"{self.weight!r} {self.max_running} {self.rate_per_s!r}"

    @classmethod
    def of_text(cls, text: str) -> Self:
        """Read the limits as Redis has them."""
        weight, max_running, rate_per_s = text.split(" ")
        return cls(float(weight), int(max_running), float(rate_per_s))


def set_limits(client: redis.Redis, name: str, limits: TenantLimits | None, now: float) -> None:
    """Set the limits of a tenant or team, or remove them. Waiting jobs are ordered by them at once.

    Args:
        client: Redis.
        name: `tenant`, `team` or `team/user`.
        limits: None removes them.
        now: Unix time in seconds, by Redis's clock.

    Raises:
        ParameterError: the name is not a tenant's name.
    """
    check_tenant(name)
    orders = [keys.order(queue.value) for queue in Queue]
    text = "" if limits is None else limits.text()
    _SET(client, [keys.TENANT_LIMITS, *orders], [name, text, keys.RECORD_PREFIX, now])


@dataclass(frozen=True)
class TenantStatus:
    """A tenant or team with limits or with jobs."""

    name: str
    limits: TenantLimits
    waiting: int
    running: int


def tenant_statuses(client: redis.Redis, most: int) -> list[TenantStatus]:
    """Return the tenants and teams with limits, and those with the most waiting jobs.

    Args:
        client: Redis.
        most: the most tenants to return of those without limits, for each queue.

    Returns:
        Sorted by name.
    """
    limits = all_limits(client)
    pipe = client.pipeline(transaction=False)
    for queue in Queue:
        pipe.zrevrange(keys.tenants(queue.value), 0, most - 1)
    found = {name.decode() for names in pipe.execute() for name in names}
    return _statuses(client, sorted(found | limits.keys()), limits)


def tenant_status(client: redis.Redis, name: str) -> TenantStatus:
    """Return the limits of a tenant or team, and how many of its jobs wait and run."""
    return _statuses(client, [name], all_limits(client))[0]


def _statuses(
    client: redis.Redis, names: list[str], limits: Mapping[str, TenantLimits]
) -> list[TenantStatus]:
    pipe = client.pipeline(transaction=False)
    for name in names:
        for queue in Queue:
            pipe.zscore(keys.tenants(queue.value), name)
        pipe.scard(keys.tenant_running(name))
    answers = iter(pipe.execute())
    return [
        TenantStatus(
            name=name,
            limits=limits.get(name, TenantLimits()),
            waiting=sum(int(next(answers) or 0) for _ in Queue),
            running=next(answers),
        )
        for name in names
    ]


def all_limits(client: redis.Redis) -> dict[str, TenantLimits]:
    """Return the limits of each tenant or team that has some."""
    found = cast("dict[bytes, bytes]", client.hgetall(keys.TENANT_LIMITS))
    return {name.decode(): TenantLimits.of_text(text.decode()) for name, text in found.items()}
