"""Queue lengths, in the format in which Flower asks a broker for them."""

import asyncio
from collections.abc import Iterable
from typing import Any

from agewell.shared.protocol.levels import level_label
from agewell.shared.queue.status import QueueStatus, queue_status
from agewell.shared.redis.clock import redis_now
from agewell.workers.process.context import Context


class Lengths:
    """Queue lengths read over agewell's own connection, including jobs that are reserved."""

    def __init__(self, context: Context, *, by_level: bool) -> None:
        self._context = context
        self._by_level = by_level

    async def queues(self, names: Iterable[str]) -> list[dict[str, Any]]:
        """Return one row for each of these queues.

        If `by_level` is set, each queue's row is followed by one for each level that has jobs.
        """
        found = await asyncio.get_running_loop().run_in_executor(None, self._read)
        wanted = set(names)
        return [row for each in found if each.queue in wanted for row in self._rows(each)]

    def _read(self) -> list[QueueStatus]:
        client = self._context.client
        return queue_status(client, self._context.settings, redis_now(client))

    def _rows(self, queue: QueueStatus) -> list[dict[str, Any]]:
        waiting = sum(level.waiting for level in queue.levels)
        rows: list[dict[str, Any]] = [
            {
                "name": queue.queue,
                "messages": waiting,
                "messages_ready": waiting,
                "messages_unacknowledged": queue.reserved,
            }
        ]
        if self._by_level:
            rows += [
                {
                    "name": f"{queue.queue}, level {level_label(level.level)}",
                    "messages": level.waiting,
                    "messages_ready": level.waiting,
                }
                for level in queue.levels
                if level.waiting
            ]
        return rows
