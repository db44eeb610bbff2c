"""`celery purge`: everything that waits in a queue ends as cancelled."""

import redis

from shared import keys
from shared.queue.admit import admit
from shared.queue.end_many import end_many
from shared.queue.ledger import Lifetimes
from shared.queue.record import State


def purge(
    client: redis.Redis, queue: str, lifetimes: Lifetimes, max_message_bytes: int, now: float
) -> int:
    """End all that waits in a queue with an order, by calls of bounded work; how many jobs."""
    while admit(client, queue, now, 0.0, max_message_bytes):
        pass
    ended = 0
    for source in (keys.order(queue), keys.scheduled(queue)):
        while (
            part := end_many(client, source, State.CANCELLED, now, lifetimes, with_chords=True)
        ).listed:
            ended += part.ended
    return ended
