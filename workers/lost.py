"""Jobs that no worker will end: their deadline has passed, or their message is gone."""

import re
from typing import Any, cast

import redis
from celery import Celery
from celery.exceptions import TaskRevokedError

from shared import keys
from shared.entry import State
from shared.errors import LostJobError
from shared.ledger import Ledger
from shared.names import LEVELS, WORK_QUEUES
from shared.results import EXPIRED
from shared.stamp import redis_now

EXPIRED_A_CALL = 1000
MESSAGES_A_READ = 1000
_ID = re.compile(rb'"id"\s*:\s*"([^"]+)"')


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
        # One that has been started in time is left alone.
        if app.backend.end_open(job_id.decode(), TaskRevokedError(EXPIRED), State.WAITING):
            expired += 1
    if due:
        client.zrem(keys.DEADLINES, *due)
    return expired


def end_lost_jobs(app: Celery, client: redis.Redis, ledger: Ledger) -> int:
    """End the open jobs whose messages are nowhere, now and at the last look; how many.

    Nothing of ours loses a message. Others can: a purge, a DEL, a worker of somebody else's.
    Counts come first; the lists are walked only where those disagree.
    """
    lists = [keys.waiting_list(queue.value, level) for queue in WORK_QUEUES for level in LEVELS]
    runs = cast("set[bytes]", client.smembers(keys.WORKER_RUNS))
    reserved = [keys.unacked(run.decode()) for run in runs]
    pipe = client.pipeline(transaction=False)
    for each in lists:
        pipe.llen(each)
    for each in reserved:
        pipe.hlen(each)
    counts = ledger.counts()
    if counts[State.WAITING] + counts[State.RUNNING] <= sum(pipe.execute()):
        client.delete(keys.SUSPECTS)
        return 0
    suspects = _open_jobs(client) - _jobs_of_messages(client, lists, reserved)
    # A message that moved while the lists were read was missed; not twice in a row.
    sure = suspects & cast("set[bytes]", client.smembers(keys.SUSPECTS))
    pipe = client.pipeline()
    pipe.delete(keys.SUSPECTS)
    if suspects - sure:
        pipe.sadd(keys.SUSPECTS, *suspects - sure)
    pipe.execute()
    ended = sum(_end(app, job_id.decode()) for job_id in sure)
    if ended:
        client.hincrby(keys.COUNTS, "lost", ended)
    return ended


def _end(app: Celery, job_id: str) -> bool:
    ends: Any = app.backend.end_open
    return any(ends(job_id, LostJobError(), state) for state in (State.WAITING, State.RUNNING))


def _open_jobs(client: redis.Redis) -> set[bytes]:
    states = (State.WAITING, State.RUNNING)
    return {job_id for state in states for job_id, _ in client.zscan_iter(keys.jobs(state))}


def _jobs_of_messages(client: redis.Redis, lists: list[str], reserved: list[str]) -> set[bytes]:
    found: set[bytes] = set()
    for name in lists:
        start = 0
        while part := cast("list[bytes]", client.lrange(name, start, start + MESSAGES_A_READ - 1)):
            found.update(match[1] for raw in part if (match := _ID.search(raw)))
            start += len(part)
    for name in reserved:
        for raw in cast("list[bytes]", client.hvals(name)):
            if match := _ID.search(raw):
                found.add(match[1])
    return found
