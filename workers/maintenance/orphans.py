"""Repairs orphans: open jobs that no worker would ever take, because a key in Redis was deleted.

A job's record contains its message. So a waiting job can get its place in the order again, and a
worker its reservation. A job ends as lost only if its message is gone, or if it is running and no
worker has it.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Literal, cast

import redis
from celery import Celery

from agewell.shared.errors import LostJobError
from agewell.shared.protocol import envelope
from agewell.shared.queue.publish import ORDERED
from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from agewell.shared.redis.counters import add_counts
from agewell.shared.redis.scripts import Script
from agewell.shared.settings import Settings
from agewell.workers.maintenance.progress import save_progress

log = logging.getLogger(__name__)

WALK_EVERY_S = 6 * 3600.0
"""All waiting jobs are checked this often, in seconds, even if the counts agree. If a worker
finds a record gone, the counts disagree."""

BUDGET_S = 1.0
"""A tick stops after this time, in seconds. The next tick continues."""

JOBS_A_CALL = 50

_PUT_BACK = Script("restore_places")
_HOLD_AGAIN = Script("restore_unacked")


@dataclass(frozen=True)
class Found:
    """How many jobs one search has repaired or ended."""

    put_back: int
    """Jobs that got their places or reservations again."""
    lost: int
    """Jobs that ended as lost."""


def find_orphans(
    app: Celery, client: redis.Redis, settings: Settings, now: float, budget_s: float = BUDGET_S
) -> Found:
    """Find orphans among the running jobs and, if it is time, the waiting ones.

    Args:
        app: its result backend ends jobs.
        client: Redis.
        settings: how the queues age, unless an operator has set another k in Redis.
        now: Unix time in seconds, by Redis's clock.
        budget_s: how long the search among waiting jobs may take, in seconds.
    """
    reserved = _reserved_jobs(client)
    held, unheld = _search_running(client)
    lost = _missing_twice(client, unheld - reserved)
    ended = sum(_end_running(app, client, job_id) for job_id in lost)
    put_back, without_message = _search_waiting(client, settings, now, budget_s)
    # A worker may have taken a message from a list since the first search.
    gone = without_message - reserved
    lost = gone - _reserved_jobs(client) if gone else gone
    ended += sum(_end(app, job_id, "unstarted") for job_id in lost)
    if ended:
        add_counts(client, keys.COUNTS, [("lost", ended)])
    return Found(put_back + held, ended)


def walk_soon(client: redis.Redis) -> None:
    """Have the next search begin with all waiting jobs."""
    save_progress(client, keys.ORPHANS, walked_at=0)


def _search_running(client: redis.Redis) -> tuple[int, set[str]]:
    """Restore reservations. Returns how many, and the running jobs that no worker has."""
    held, unheld, cursor = 0, set(), b"0"
    while True:
        cursor, part, ids = _HOLD_AGAIN(
            client,
            [
                keys.jobs(State.RUNNING),
                keys.GIVEN_UP,
                keys.WORKER_IDS,
                *(inlet for queue in ORDERED for inlet in keys.inlets(queue)),
            ],
            [cursor, JOBS_A_CALL, keys.RECORD_PREFIX, keys.RESERVED_PREFIX],
        )
        held += part
        unheld |= {each.decode() for each in ids}
        if cursor == b"0":
            return held, unheld


def _missing_twice(client: redis.Redis, unheld: set[str]) -> set[str]:
    """Return the running jobs that no worker had at the last search either."""
    raw = cast("bytes | None", client.hget(keys.ORPHANS, "suspects"))
    lost = unheld & set(json.loads(raw or b"[]"))
    if unheld or raw:
        suspects = sorted(unheld - lost)
        save_progress(client, keys.ORPHANS, suspects=json.dumps(suspects) if suspects else "")
    return lost


def _search_waiting(
    client: redis.Redis, settings: Settings, now: float, budget_s: float
) -> tuple[int, set[str]]:
    """Restore places in the order. Returns how many, and the waiting jobs without a message."""
    stop_at = monotonic() + budget_s
    cursor = _next_cursor(client, now)
    if cursor is None:
        return 0, set()
    put_back, lost = 0, set[str]()
    aging_k = settings.k_by_queue()
    queues = sorted(ORDERED)
    while True:
        cursor, part, ids = _PUT_BACK(
            client,
            [
                keys.jobs(State.WAITING),
                keys.AGING_K,
                *(key for queue in queues for key in keys.of_queue(queue)),
            ],
            [
                *(cursor, JOBS_A_CALL, keys.RECORD_PREFIX, keys.RESERVED_PREFIX, now),
                *(part for queue in queues for part in (queue, aging_k[queue])),
            ],
        )
        put_back += part
        lost |= {each.decode() for each in ids}
        if cursor == b"0" or monotonic() > stop_at:
            break
    save_progress(client, keys.ORPHANS, cursor="" if cursor == b"0" else cursor.decode())
    return put_back, lost


def _next_cursor(client: redis.Redis, now: float) -> bytes | None:
    """Return the cursor at which the search among waiting jobs continues. None: none is due."""
    found = cast("list[bytes | None]", client.hmget(keys.ORPHANS, "cursor", "walked_at"))
    cursor, walked_at = found
    if cursor is not None:
        return cursor
    if now - float(walked_at or 0) < WALK_EVERY_S and not _places_are_missing(client):
        return None
    save_progress(client, keys.ORPHANS, walked_at=now)
    return b"0"


def _places_are_missing(client: redis.Redis) -> bool:
    """True if more jobs wait than have places in the order or are reserved to be turned away."""
    worker_ids = cast("set[bytes]", client.smembers(keys.WORKER_IDS))
    pipe = client.pipeline(transaction=False)
    pipe.zcard(keys.jobs(State.WAITING))
    for key in (*keys.orders(), *(keys.held(queue) for queue in ORDERED)):
        pipe.zcard(key)
    for worker_id in worker_ids:
        pipe.hlen(keys.reserved(worker_id.decode()))
    waiting, *places = cast("list[int]", pipe.execute())
    return waiting > sum(places)


def _reserved_jobs(client: redis.Redis) -> set[str]:
    """Return the jobs that workers have reserved, including workers of an earlier version."""
    pipe = client.pipeline(transaction=False)
    for worker_id in cast("set[bytes]", client.smembers(keys.WORKER_IDS)):
        pipe.hvals(keys.reserved(worker_id.decode()))
    return {job_id for held in pipe.execute() for entry in held for job_id in _ids_in(entry)}


def _ids_in(entry: bytes) -> Iterator[str]:
    queue, _, rest = entry.partition(b"\n")
    if not queue:
        yield rest.partition(b"\n")[2].decode()
    elif (message := envelope.read(rest)) is not None:
        yield str(message["headers"].get("id"))


def _end_running(app: Celery, client: redis.Redis, job_id: str) -> bool:
    is_known = client.exists(keys.job(job_id))
    return _end(app, job_id, State.RUNNING if is_known else "unstarted")


def _end(app: Celery, job_id: str, only_from: State | Literal["unstarted"]) -> bool:
    error = LostJobError()
    ended: bool = app.backend.end_open(job_id, error, only_from)
    if ended:
        log.error("job %s failed: %s", job_id, error)
    return ended
