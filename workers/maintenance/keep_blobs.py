"""Extends the TTL of the blobs that waiting jobs need.

A blob expires some time after its last use. A job that waits longer than that has not used its
blobs yet, so upkeep extends their TTL. It goes through all waiting jobs four times per TTL, some
of them at each tick.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from time import monotonic
from typing import Any

import redis

from agewell.shared.blobs.blobs import Blobs
from agewell.shared.errors import PassingError
from agewell.shared.protocol import envelope
from agewell.shared.queue.record import State
from agewell.shared.queue.unpack import unpack
from agewell.shared.redis import keys
from agewell.shared.settings import MAX_MESSAGE_BYTES
from agewell.workers.maintenance.progress import save_progress

ROUNDS_A_TTL = 4
"""Rounds per TTL. A round extends the blobs of jobs that have waited for longer than one round."""

BUDGET_S = 0.1
"""A tick stops after this time, in seconds, and the next tick continues. With one tick every ten
seconds, upkeep uses a hundredth of a core."""

LATE_BUDGET_S = 1.0
"""The budget in seconds if more than half the time for a round has passed."""

JOBS_A_READ = 200
BYTES_A_READ = 8 * 2**20

_URI = re.compile(r'"uri"\s*:\s*"([a-z]+:[0-9a-f]{64}(?:\+[0-9]{1,12})?)"')


def keep_blobs_of_waiting_jobs(
    client: redis.Redis,
    blobs: Blobs,
    ttl_s: int,
    now: float,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
    budget_s: float | None = None,
) -> int:
    """Extend the TTL of blobs whose jobs have waited for a quarter of it.

    Args:
        client: the broker's Redis.
        blobs: the store.
        ttl_s: how long a blob is kept after its last use, in seconds.
        now: Unix time in seconds, by Redis's clock.
        max_message_bytes: larger messages are not read.
        budget_s: how long this call may take, in seconds. None: `BUDGET_S` or `LATE_BUDGET_S`.

    Returns:
        How many references it has extended.

    Raises:
        BlobStoreError: the store is unreachable. The next call begins the round again.
    """
    began, round_s = monotonic(), ttl_s / ROUNDS_A_TTL
    started_at, cursor = _round(client)
    if cursor is None:
        if now - started_at < round_s:
            return 0
        started_at, cursor = now, 0
    if budget_s is None:
        budget_s = BUDGET_S if now - started_at < round_s / 2 else LATE_BUDGET_S
    kept = 0
    if not client.zcount(keys.jobs(State.WAITING), "-inf", f"({now - round_s!r}"):
        save_progress(client, keys.BLOBS_KEPT, started_at=started_at, cursor="")
        return 0
    while True:
        cursor, job_ids = _waiting_since_before(client, cursor, now - round_s)
        for bodies in _bodies(client, job_ids, max_message_bytes):
            kept += _keep(client, blobs, bodies)
        if cursor == 0 or monotonic() > began + budget_s:
            break
    save_progress(client, keys.BLOBS_KEPT, started_at=started_at, cursor=cursor or "")
    return kept


def all_kept(client: redis.Redis, ttl_s: int, now: float) -> bool:
    """True if a round is complete and so recent that no blob of a waiting job can have expired."""
    started_at, cursor = _round(client)
    return cursor is None and now - started_at < 2 * ttl_s / ROUNDS_A_TTL


def _round(client: redis.Redis) -> tuple[float, int | None]:
    """Return when the last round began, and its cursor.

    None if it is complete or none has begun.
    """
    found: Any = client.hmget(keys.BLOBS_KEPT, "started_at", "cursor")
    started_at, cursor = found
    return float(started_at or 0), None if cursor is None else int(cursor)


def _waiting_since_before(client: redis.Redis, cursor: int, before: float) -> tuple[int, list[str]]:
    """Return the next cursor and some jobs that have waited since before a time."""
    found: Any = client.zscan(keys.jobs(State.WAITING), cursor, count=JOBS_A_READ)
    next_cursor, jobs = found
    return next_cursor, [job_id.decode() for job_id, since in jobs if since < before]


def _bodies(client: redis.Redis, job_ids: list[str], most_bytes: int) -> Iterator[list[str]]:
    """Yield the bodies of jobs' messages, some MiB at a time."""
    pipe = client.pipeline(transaction=False)
    for job_id in job_ids:
        pipe.hstrlen(keys.job(job_id), "message")
    sizes = pipe.execute()
    read_bytes = 0
    for job_id, size_bytes in zip(job_ids, sizes, strict=True):
        if 0 < size_bytes <= most_bytes:
            pipe.hget(keys.job(job_id), "message")
            read_bytes += size_bytes
        if read_bytes >= BYTES_A_READ:
            yield [_body(raw, most_bytes) for raw in pipe.execute()]
            read_bytes = 0
    yield [_body(raw, most_bytes) for raw in pipe.execute()]


def _body(raw: bytes | None, most_bytes: int) -> str:
    """Return the body of a message, or an empty string if it cannot be read."""
    message = envelope.read(raw)
    if message is None:
        return ""
    try:
        return base64.b64decode(unpack(message, most_bytes)["body"]).decode()
    except (ValueError, TypeError, KeyError, binascii.Error):
        return ""


def _keep(client: redis.Redis, blobs: Blobs, bodies: list[str]) -> int:
    uris = {uri for body in bodies for uri in _URI.findall(body)}
    try:
        blobs.keep(uris)
    except PassingError:
        client.delete(keys.BLOBS_KEPT)
        raise
    return len(uris)
