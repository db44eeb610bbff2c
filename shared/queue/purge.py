"""`celery purge`, which ends every waiting job of a queue as cancelled.

Jobs in groups are left to upkeep, which also fails their chords. (Celery's own purge leaves such
chords waiting forever.)
"""

import redis

from agewell.shared.queue.admit import admit
from agewell.shared.queue.end_many import end_many
from agewell.shared.queue.ledger import Lifetimes
from agewell.shared.queue.record import State
from agewell.shared.redis import keys


def purge(
    client: redis.Redis, queue: str, lifetimes: Lifetimes, max_message_bytes: int, now: float
) -> int:
    """End all waiting jobs of a queue with an order, by calls of bounded work.

    Returns:
        The number of jobs that are ended or left to upkeep.
    """
    while admit(client, {queue: 0.0}, now, max_message_bytes):
        pass
    ended = 0
    for source in (keys.order(queue), keys.held(queue), keys.scheduled(queue)):
        while (part := end_many(client, source, State.CANCELLED, now, lifetimes)).listed:
            ended += part.ended + len(part.counted_by_chords)
    return ended
