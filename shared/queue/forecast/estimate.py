"""Predicts the wait of one job, for clients."""

from collections.abc import Sequence
from typing import cast

import redis

from agewell.shared.errors import ParameterError
from agewell.shared.protocol.tasks import WORK_QUEUES
from agewell.shared.protocol.tenants import check_tenant
from agewell.shared.queue.forecast.facts import Ask, Situation
from agewell.shared.queue.forecast.predict import Forecast, forecasts
from agewell.shared.queue.forecast.slots import slots_of
from agewell.shared.queue.reserved import reserved_jobs
from agewell.shared.queue.status import aging_policies
from agewell.shared.redis import keys
from agewell.shared.settings import Settings


def estimate(
    client: redis.Redis, settings: Settings, queue: str, asks: Sequence[Ask], now: float
) -> list[Forecast]:
    """Predict how long jobs would wait that are sent now, in seven round trips.

    Args:
        client: Redis.
        settings: for k, if Redis has none.
        queue: the name of the queue.
        asks: the jobs.
        now: Unix time in seconds, by Redis's clock.

    Raises:
        ParameterError: the queue is not one of jobs, or a tenant is not a tenant's name.
    """
    if queue not in WORK_QUEUES:
        raise ParameterError("queue", queue, ", ".join(each.value for each in WORK_QUEUES))
    for ask in asks:
        if ask.tenant is not None:
            check_tenant(ask.tenant)
    worker_ids = cast("set[bytes]", client.smembers(keys.WORKER_IDS))
    slots = slots_of(client, worker_ids)[queue]
    running = reserved_jobs(client, worker_ids)[queue]
    policy = aging_policies(client, settings)[queue]
    return forecasts(client, Situation(queue, policy, now, slots, running), asks)
