"""Status of queues and their levels, from counts and the first job of each level."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar, cast

import redis

from agewell.shared.protocol.aging import AgingPolicy
from agewell.shared.protocol.levels import LEVELS
from agewell.shared.protocol.tasks import WORK_QUEUES, Queue
from agewell.shared.queue.forecast.facts import Ask, Situation
from agewell.shared.queue.forecast.predict import Forecast, forecasts
from agewell.shared.queue.forecast.slots import slots_of
from agewell.shared.queue.heads import Answers, Head, ask, next_answers, read_heads
from agewell.shared.queue.reserved import reserved_jobs
from agewell.shared.queue.tenant_load import (
    NO_OTHERS,
    OtherTenants,
    TenantLoad,
    TenantLoads,
    tenant_loads,
)
from agewell.shared.redis import keys
from agewell.shared.settings import Settings


@dataclass(frozen=True)
class LevelStatus:
    """Status of one level of one queue. Its head is the waiting job that goes first."""

    queue: str
    level: int
    waiting: int
    oldest_wait_s: float | None
    """How long the head has been due, in seconds. None if no job waits, or its time is unknown."""
    head_log_weight: float | None
    """k t - level of the head, with the level it was enqueued with. None as above."""
    climbs_per_minute: float
    """Jobs that climb from this level to a more urgent one, per minute."""
    predicted_wait_s: float | None = None
    """How long a job sent now would wait, in seconds. None if `no_prediction` says why."""


@dataclass(frozen=True)
class QueueStatus:
    """Status of one queue. Its levels are in order, the most urgent first."""

    queue: str
    levels: tuple[LevelStatus, ...]
    reserved: int
    """Jobs that workers have reserved."""
    scheduled: int
    """Jobs with an eta or countdown, and jobs that wait for their next retry."""
    k_per_s: float
    climbs_per_minute: float
    """The sum over all levels."""
    last_sweep_s_ago: float | None
    """Seconds since the beat task last ran for the queue. None if it never has."""
    tenants: tuple[TenantLoad, ...] = ()
    """The largest tenants, the largest first. A team counts as one, with all its members."""
    other_tenants: OtherTenants = NO_OTHERS
    """The other tenants together."""
    slots: int = 0
    """Jobs that the running workers of the queue run at the same time."""
    no_prediction: str = ""
    """Why waits of some levels cannot be predicted, such as `no worker`."""


_Predictable = TypeVar("_Predictable", LevelStatus, TenantLoad)


def queue_status(client: redis.Redis, settings: Settings, now: float) -> list[QueueStatus]:
    """Read the status of every queue, in at most seven round trips, and four for each with workers.

    The work does not grow with the backlog, nor with the number of tenants.

    Args:
        client: Redis.
        settings: for k of the queues whose k is not in Redis.
        now: Unix time in seconds, by Redis's clock.
    """
    policies = aging_policies(client, settings)
    pipe = client.pipeline(transaction=False)
    for queue, policy in policies.items():
        ask(pipe, queue, policy, now)
    pipe.smembers(keys.WORKER_IDS)
    found = iter(pipe.execute())
    answers = {queue: next_answers(found) for queue in policies}
    worker_ids = next(found)
    reserved, slots = reserved_jobs(client, worker_ids), slots_of(client, worker_ids)
    heads = read_heads(client, [each for part in answers.values() for each in part.head_ids])
    loads = tenant_loads(client, reserved, now)
    return [
        _with_predictions(
            client,
            _status(queue, policy, now, answers[queue], heads, len(reserved[queue]), loads[queue]),
            Situation(queue, policy, now, slots[queue], reserved[queue]),
        )
        for queue, policy in policies.items()
    ]


def _with_predictions(client: redis.Redis, status: QueueStatus, at: Situation) -> QueueStatus:
    """Add the predicted waits of a job on each level, and of a normal job of each tenant."""
    if status.queue not in WORK_QUEUES:
        return status
    asks = [Ask(level) for level in LEVELS]
    asks += [Ask(tenant=each.tenant) for each in status.tenants]
    found = forecasts(client, at, asks)
    levels, tenants = found[: len(LEVELS)], found[len(LEVELS) :]
    return replace(
        status,
        levels=tuple(map(_predicted, status.levels, levels)),
        tenants=tuple(map(_predicted, status.tenants, tenants)),
        slots=at.slots,
        no_prediction=next((each.why for each in found if each.why), ""),
    )


def _predicted(status: _Predictable, found: Forecast) -> _Predictable:
    return replace(status, predicted_wait_s=found.wait_s)


def aging_policies(client: redis.Redis, settings: Settings) -> dict[str, AgingPolicy]:
    """Return the current aging policy of each queue: from Redis, or else from the settings."""
    found = cast("list[bytes | None]", client.hmget(keys.AGING_K, [each.value for each in Queue]))
    return {
        queue.value: AgingPolicy(settings.k_of(queue.value)) if k is None else AgingPolicy(float(k))
        for queue, k in zip(Queue, found, strict=True)
    }


def _status(
    queue: str,
    policy: AgingPolicy,
    now: float,
    answers: Answers,
    heads: Mapping[str, Head],
    reserved: int,
    tenants: TenantLoads,
) -> QueueStatus:
    levels = [
        _level_status(
            queue, level, answers, _wait_and_weight(heads[answers.head_ids[level]], policy, now)
        )
        for level in LEVELS
    ]
    last_run_at = answers.notes.get(b"last_run_at")
    return QueueStatus(
        queue=queue,
        levels=tuple(levels),
        reserved=reserved,
        scheduled=answers.scheduled,
        k_per_s=policy.k_per_s,
        climbs_per_minute=sum(level.climbs_per_minute for level in levels),
        last_sweep_s_ago=None if last_run_at is None else now - float(last_run_at),
        tenants=tenants.largest,
        other_tenants=tenants.others,
    )


def _level_status(
    queue: str, level: int, answers: Answers, head: tuple[float | None, float | None]
) -> LevelStatus:
    """Return the status of a level. The head's wait and weight are given."""
    oldest_wait_s, log_weight = head
    return LevelStatus(
        queue=queue,
        level=level,
        waiting=answers.waiting[level] + answers.pushed[level],
        oldest_wait_s=oldest_wait_s,
        head_log_weight=log_weight,
        climbs_per_minute=float(answers.notes.get(keys.climbs_field(level).encode(), 0)),
    )


def _wait_and_weight(
    head: Head, policy: AgingPolicy, now: float
) -> tuple[float | None, float | None]:
    """Return how long a head has waited, in seconds, and the logarithm of its weight."""
    if head.since is None or head.given_level is None:
        return None, None
    waited_s = max(0.0, now - head.since)
    return waited_s, policy.log_weight(head.given_level, waited_s)
