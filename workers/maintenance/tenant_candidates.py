"""Gives tenants their candidates again after somebody has deleted a key.

Workers look only at the first job of each tenant, its candidate. A tenant without one would wait
until its next job comes.
"""

from typing import cast

import redis

from agewell.shared.protocol.tasks import Queue
from agewell.shared.redis import keys
from agewell.shared.redis.scripts import Script
from agewell.workers.maintenance.progress import save_progress

TENANTS_A_CALL, CALLS = 50, 20
"""How many tenants one call looks at, for about a millisecond, and how many calls a tick makes for
each queue. Of 10,000 tenants, each is looked at within two minutes."""

_SETTLE = Script("settle_tenants")


def settle_tenants(client: redis.Redis, now: float) -> int:
    """Look at the next tenants of each queue.

    Returns:
        How many have waiting jobs without places. `find_orphans` restores these with its next walk.
    """
    return sum(_settle(client, queue.value, now) for queue in Queue)


def _settle(client: redis.Redis, queue: str, now: float) -> int:
    field = f"candidates_cursor:{queue}"
    saved = cast("bytes | None", client.hget(keys.ORPHANS, field))
    cursor, damaged = saved or b"0", 0
    for _ in range(CALLS):
        answer = _SETTLE(
            client,
            [keys.order(queue), keys.tenants(queue)],
            [cursor, TENANTS_A_CALL, keys.RECORD_PREFIX, now],
        )
        cursor, part = cast("tuple[bytes, int]", answer)
        damaged += part
        if cursor == b"0":
            break
    if saved or cursor != b"0":
        save_progress(client, keys.ORPHANS, **{field: "" if cursor == b"0" else cursor.decode()})
    return damaged
