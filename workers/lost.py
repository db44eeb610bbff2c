"""Jobs that no worker will end: their deadline has passed, or their message is gone."""

import re
from collections.abc import Iterator
from typing import Any, cast

import redis
from celery import Celery
from celery.exceptions import TaskRevokedError

from shared import keys
from shared.counters import add_counts
from shared.entry import State
from shared.errors import LostJobError
from shared.ledger import Ledger
from shared.names import LEVELS, WORK_QUEUES
from shared.oversize import read_waiting
from shared.results import EXPIRED
from shared.stamp import redis_now

EXPIRED_A_CALL = 1000
WALK_EVERY_S = 600
"""The lists are walked so often although the counts agree."""

MESSAGES_A_READ = 500
READ_TWICE = 100
_ID = re.compile(rb'"id"\s*:\s*"([^"]+)"')
_ID_WITHIN = re.compile(rb'\\"id\\"\s*:\s*\\"([^"\\]+)\\"')
"""In the end of a large message, quoted by what stands in for it."""


def expire_jobs(app: Celery, client: redis.Redis) -> int:
    """End the waiting jobs whose deadlines have passed; how many."""
    due = cast(
        "list[bytes]",
        client.zrange(
            keys.DEADLINES, "-inf", redis_now(client), byscore=True, offset=0, num=EXPIRED_A_CALL
        ),
    )
    expired = 0
    for job_id in due:
        # One that has started in time is left alone, also while it waits to be tried again.
        if app.backend.end_open(job_id.decode(), TaskRevokedError(EXPIRED), State.WAITING):
            expired += 1
    if due:
        client.zrem(keys.DEADLINES, *due)
    return expired


def end_lost_jobs(app: Celery, client: redis.Redis, ledger: Ledger) -> int:
    """End the open jobs whose messages are nowhere, now and at the last look; how many.

    Nothing of ours loses a message. Others can: a purge, a DEL, a worker of somebody else's.
    Counts come first. The lists are walked where those disagree, where the last walk missed a
    message, and now and then in any case: a message too many hides one that is missing.
    """
    if not _walk_is_due(client, ledger):
        return 0
    max_bytes = app.conf.broker_transport_options["max_message_bytes"]
    missing = _missing(client, _open_jobs(client), max_bytes)
    if missing:
        missing &= _open_jobs(client)  # others have ended meanwhile, and need no message
    again = missing & cast("set[bytes]", client.smembers(keys.SUSPECTS))
    pipe = client.pipeline()
    pipe.delete(keys.SUSPECTS)
    if missing - again:
        pipe.sadd(keys.SUSPECTS, *missing - again)
    pipe.execute()
    # A message that was taken and came back behind the walk was missed: not three times running.
    sure = _missing(client, again, max_bytes) if again else again
    ended = sum(_end(app, job_id.decode()) for job_id in sure)
    if ended:
        add_counts(client, keys.COUNTS, [("lost", ended)])
    return ended


def _walk_is_due(client: redis.Redis, ledger: Ledger) -> bool:
    counts = ledger.counts()
    pipe = client.pipeline(transaction=False)
    for name in _lists():
        pipe.llen(name)
    messages = sum(pipe.execute()) + len(_reserved_jobs(client))
    if counts[State.WAITING] + counts[State.RUNNING] > messages or client.exists(keys.SUSPECTS):
        return True
    try:
        return bool(client.set(keys.LISTS_WALKED, 1, nx=True, ex=WALK_EVERY_S))
    except redis.exceptions.OutOfMemoryError:
        return False


def _end(app: Celery, job_id: str) -> bool:
    ends: Any = app.backend.end_open
    return any(ends(job_id, LostJobError(), state) for state in (State.WAITING, State.RUNNING))


def _open_jobs(client: redis.Redis) -> set[bytes]:
    return {
        job_id
        for state in (State.WAITING, State.RUNNING)
        for job_id, _ in client.zscan_iter(keys.jobs(state), count=MESSAGES_A_READ)
    }


def _lists() -> list[str]:
    """The waiting lists, against the way that messages climb."""
    return [keys.waiting_list(queue.value, lv) for queue in WORK_QUEUES for lv in LEVELS[::-1]]


def _missing(client: redis.Redis, jobs: set[bytes], max_bytes: int) -> set[bytes]:
    """Those of some open jobs whose messages are seen nowhere.

    A message climbs from level 9 to 0, a worker takes it, and may give it back to any level. So
    what workers have is read first, then the lists from 9 to 0, then what workers have by now: a
    message that goes one way, whenever it goes, is met.
    """
    missing = jobs - set(_reserved_jobs(client))
    for name in _lists():
        for raws in _read(client, name, max_bytes):
            missing.difference_update(match[1] for raw in raws if (match := _find_id(raw)))
    return missing.difference(_reserved_jobs(client))


def _read(client: redis.Redis, name: str, max_bytes: int) -> Iterator[list[bytes]]:
    """The messages of a list, some at a time, from its tail on."""
    start = 0
    while part := read_waiting(client, name, start, start + MESSAGES_A_READ - 1, max_bytes):
        yield part
        if len(part) < MESSAGES_A_READ:
            return
        # Whatever is taken out behind this place draws the next ones into it.
        start += MESSAGES_A_READ - READ_TWICE


def _reserved_jobs(client: redis.Redis) -> list[bytes]:
    """The job of each message of the work queues that a worker has."""
    pipe = client.pipeline(transaction=False)
    for run in cast("set[bytes]", client.smembers(keys.WORKER_RUNS)):
        pipe.hvals(keys.unacked(run.decode()))
    return [
        match[1]
        for entries in pipe.execute()
        for entry in entries
        # Its first line names its list. Upkeep's workers have messages too, this look's for one.
        if keys.queue_of(entry.partition(b"\n")[0].decode()) in WORK_QUEUES
        and (match := _find_id(entry))
    ]


def _find_id(raw: bytes) -> re.Match[bytes] | None:
    return _ID.search(raw) or _ID_WITHIN.search(raw)
