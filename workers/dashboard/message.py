"""The message of a job that has not started, found in its queue or with a worker."""

import base64
import binascii
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import redis

from shared import envelope, keys
from shared.errors import BadJobError
from shared.messages import Job, parse_job
from shared.names import LEVELS, OP_OF_TASK, WORK_QUEUES
from shared.oversize import shrinking_script
from shared.settings import MAX_MESSAGE_BYTES
from workers.chaining import follow

SEARCH_S = 1.5
"""A search ends then: a queue of a million jobs is not read to its end for one page."""

CALL_S = 0.005
"""How long one call should keep Redis; the next one reads more or fewer messages accordingly."""

RECENT_MAX, RECENT_S = 64, 10.0
FIRST_MESSAGES, MOST_MESSAGES = 10, 2000


@dataclass(frozen=True)
class Waiting:
    """Read a job from its message."""

    op: str
    level: int | None
    enqueued_at: float | None
    job: Job | None
    """None if the message holds no valid job."""
    problem: str = ""
    """Why it holds none."""


_recent: dict[str, tuple[float, Waiting]] = {}
"""The messages found last, and when: each thumbnail of a page asks for its job's."""


def find_waiting(client: redis.Redis, job_id: str) -> Waiting | None:
    """Look for the message of a job that waits or was just taken; None if it is not found.

    Args:
        client: the broker's Redis.
        job_id: whose. The search reads the queues in short calls, for a second or two at most.
    """
    found_at, known = _recent.get(job_id, (-RECENT_S, None))
    if time.monotonic() - found_at < RECENT_S:
        return known
    found = _find(client, job_id)
    if found is not None:
        _recent[job_id] = time.monotonic(), found
        while len(_recent) > RECENT_MAX:
            _recent.pop(next(iter(_recent)), None)
    return found


def _find(client: redis.Redis, job_id: str) -> Waiting | None:
    needle = json.dumps(job_id)
    for raw in _reserved(client):
        if needle.encode() in raw and (found := _read(raw, job_id)) is not None:
            return found
    raw = _search(client, needle)
    return _read(raw, job_id) if raw else None


def job_of(args: Any) -> tuple[Job | None, str]:
    """The job in a task's arguments, and if there is none, why.

    The next step of a chain has the result of the step before as its first argument.
    """
    try:
        match args:
            case [document]:
                return parse_job(document), ""
            case [before, document]:
                return parse_job(follow(before, document)[0]), ""
    except BadJobError as error:
        return None, str(error)
    return None, "the message has no job as its argument"


def _reserved(client: redis.Redis) -> Iterator[bytes]:
    """The messages that workers have taken: few, as a worker takes only what it can start."""
    runs = cast("set[bytes]", client.smembers(keys.WORKER_IDS))
    for run in runs:
        for entry in cast("list[bytes]", client.hvals(keys.reserved(run.decode()))):
            yield entry.partition(b"\n")[2]


def _search(client: redis.Redis, needle: str) -> bytes:
    ends_at = time.monotonic() + SEARCH_S
    count = FIRST_MESSAGES
    lists = [keys.waiting_list(queue.value, level) for queue in WORK_QUEUES for level in LEVELS]
    for name in lists:
        first, read, asked = 0, 0, 0
        while read == asked and time.monotonic() < ends_at:
            asked = count
            begun = time.monotonic()
            raw, read = client.eval(
                shrinking_script("workers", "find_message"),
                1,
                name,
                first,
                first + count - 1,
                needle,
                MAX_MESSAGE_BYTES,
            )
            if raw:
                return cast(bytes, raw)
            first += read
            took_s = max(time.monotonic() - begun, CALL_S / 10)
            count = max(1, min(MOST_MESSAGES, int(count * CALL_S / took_s)))
    return b""


def _read(raw: bytes, job_id: str) -> Waiting | None:
    """Read a kombu message; None if it is another job's, or no message of Celery's."""
    message = envelope.read(raw)
    if message is None or message["headers"].get("id") != job_id:
        return None
    try:
        args = json.loads(base64.b64decode(message["body"]))[0]
        task = str(message["headers"]["task"])
    except (ValueError, TypeError, LookupError, RecursionError, binascii.Error):
        return None
    job, problem = job_of(args)
    return Waiting(
        op=OP_OF_TASK.get(task, task),
        level=envelope.level_of(message["properties"].get("priority")),
        enqueued_at=envelope.enqueued_at(message),
        job=job,
        problem=problem,
    )
