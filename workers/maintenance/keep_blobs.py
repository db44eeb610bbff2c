"""Images of jobs that wait for long: kept for as long as they do.

A blob's time to live begins with its last use. A job that waits for longer than that has not used
its images yet, so somebody else says that they are wanted.
"""

import base64
import binascii
import re
from collections.abc import Iterator

import redis

from shared import envelope, keys
from shared.blobs import Blobs
from shared.errors import PassingError
from shared.names import LEVELS, WORK_QUEUES
from shared.oversize import read_waiting
from shared.settings import MAX_MESSAGE_BYTES

MESSAGES_A_READ = 500
ROUNDS_A_TTL = 4
"""A round is due so often in a time to live, and keeps what is older than one: none comes late."""

_URI = re.compile(r'"uri"\s*:\s*"([a-z]+:[0-9a-f]{64}(?:\+[0-9]{1,12})?)"')


def keep_blobs_of_waiting_jobs(
    client: redis.Redis,
    blobs: Blobs,
    ttl_s: int,
    now: float,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
) -> int:
    """Begin the time to live anew for the images of jobs that have waited a part of it; how many.

    Args:
        client: the broker's Redis.
        blobs: where the images lie.
        ttl_s: how long a blob is kept after its last use, in seconds.
        now: Unix time in seconds, of the clock that stamps the jobs.
        max_message_bytes: larger messages are not read.

    Raises:
        BlobStoreError: the store is away; the next call tries again.
    """
    round_s = ttl_s / ROUNDS_A_TTL
    if not client.set(keys.BLOBS_KEPT, now, nx=True, px=max(1, int(1000 * round_s))):
        return 0
    kept = 0
    try:
        for uris in _uris_of_old_jobs(client, now - round_s, max_message_bytes):
            blobs.keep(uris)
            kept += len(uris)
    except PassingError:
        client.delete(keys.BLOBS_KEPT)
        raise
    return kept


def _uris_of_old_jobs(
    client: redis.Redis, before: float, max_message_bytes: int
) -> Iterator[set[str]]:
    """The references of waiting jobs from before a time, some hundred jobs at a time."""
    for name in (keys.waiting_list(queue.value, lv) for queue in WORK_QUEUES for lv in LEVELS):
        last = -1
        # The oldest are at the head, the right end. A list is in the order of virtual time, so a
        # stretch of it without an old job has none behind it but by a few levels' head start.
        while part := read_waiting(
            client, name, last - MESSAGES_A_READ + 1, last, max_message_bytes
        ):
            old = [body for raw in part if (body := _body_if_old(raw, before)) is not None]
            if not old:
                break
            yield {uri for body in old for uri in _URI.findall(body)}
            last -= len(part)


def _body_if_old(raw: bytes, before: float) -> str | None:
    """What a message from before a time says; None for a younger one, or for what is none."""
    message = envelope.read(raw)
    enqueued_at = envelope.enqueued_at(message)
    if message is None or enqueued_at is None or enqueued_at >= before:
        return None
    try:
        return base64.b64decode(message["body"]).decode()
    except (ValueError, TypeError, KeyError, binascii.Error):
        return None
