"""Frees slots of tenants that are taken by jobs whose records somebody has deleted.

Each tenant has a set of its running jobs, for its limit. The end of a job finds the set by the
tenant in the job's record. Without the record, the id would stay in the set.
"""

from typing import cast

import redis

from agewell.shared.redis import keys
from agewell.shared.redis.scripts import Script
from agewell.workers.maintenance.progress import walk_on

KEYS_A_CALL, CALLS = 1000, 20
"""How many keys one SCAN looks at, for well under a millisecond, and how many SCANs a tick makes.
With a million keys in Redis, every set is looked at within ten minutes."""

JOBS_A_CALL = 50

_FREE = Script("free_slots")


def free_tenant_slots(client: redis.Redis) -> int:
    """Look for running jobs of tenants that do not run. Returns how many were dropped."""

    def step(cursor: int) -> tuple[int, int]:
        answer = client.scan(cursor, match=keys.tenant_running("*"), count=KEYS_A_CALL)
        next_cursor, found = cast("tuple[int, list[bytes]]", answer)
        return next_cursor, sum(_free(client, key.decode()) for key in found)

    return walk_on(client, keys.ORPHANS, "tenants_cursor", step, CALLS)


def _free(client: redis.Redis, key: str) -> int:
    dropped, cursor = 0, b"0"
    while True:
        answer = _FREE(client, [key], [cursor, JOBS_A_CALL, keys.RECORD_PREFIX])
        cursor, part = cast("tuple[bytes, int]", answer)
        dropped += part
        if cursor == b"0":
            return dropped
