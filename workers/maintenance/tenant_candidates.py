"""Gives tenants their candidates again after somebody has deleted a key.

Workers look only at the first job of each tenant, its candidate. A tenant without one would wait
until its next job comes.
"""

from typing import cast

import redis

from agewell.shared.protocol.tasks import Queue
from agewell.shared.redis import keys
from agewell.shared.redis.scripts import Script
from agewell.workers.maintenance.orphans import walk_soon
from agewell.workers.maintenance.progress import walk_on

TENANTS_A_CALL, CALLS = 50, 20
"""How many tenants one call looks at, for about a millisecond, and how many calls a tick makes for
each queue. Of 10,000 tenants, each is looked at within two minutes."""

_SETTLE = Script("settle_tenants")


def settle_tenants(client: redis.Redis, now: float) -> None:
    """Look at the next tenants of each queue.

    If some have waiting jobs without places, the next `find_orphans` walks, and restores these.
    """
    if sum(_settle(client, queue.value, now) for queue in Queue):
        walk_soon(client)


def _settle(client: redis.Redis, queue: str, now: float) -> int:
    places = [keys.order(queue), keys.tenants(queue)]

    def step(cursor: int) -> tuple[int, int]:
        answer = _SETTLE(client, places, [cursor, TENANTS_A_CALL, keys.RECORD_PREFIX, now])
        next_cursor, damaged = cast("tuple[bytes, int]", answer)
        return int(next_cursor), damaged

    return walk_on(client, keys.ORPHANS, f"candidates_cursor:{queue}", step, CALLS)
