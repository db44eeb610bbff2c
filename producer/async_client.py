"""agewell from asyncio: `agewell.producer.client.Client`, awaited.

Sending takes a thread for as long as it lasts. Waiting takes none: one connection to Redis listens
for all the jobs that are waited for.
"""

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Self

from agewell.producer.client import Client, Priority, Source
from agewell.producer.receiving.listen import Listener
from agewell.producer.receiving.outcome import Outcome, read_outcome
from agewell.shared.protocol.levels import DEFAULT_LEVEL
from agewell.shared.protocol.messages import ImageRef, Job
from agewell.shared.queue.record import Record
from agewell.shared.redis.connection import connect_async, unreachable
from agewell.shared.settings import Settings


class AsyncClient:
    """A program's connection to the queue, for one event loop.

    Each method is that of `Client`, and raises what that one raises.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        settings = client.session.settings
        self._redis = connect_async(settings)
        self._listener = Listener(
            self._redis,
            partial(read_outcome, client.session.app.backend),
            partial(unreachable, settings),
            client.collector.lost_job_finder(),
        )

    @classmethod
    async def open(cls, settings: Settings | None = None) -> Self:
        """Connect as the command line does, by the environment, or by settings given."""
        return cls(await asyncio.to_thread(Client.open, settings))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connections; jobs that were sent go on."""
        await self._listener.close()
        await self._redis.aclose()
        await asyncio.to_thread(self._client.close)

    async def put(self, *sources: Source) -> tuple[ImageRef, ...]:
        """Store encoded images; references to them, in order, for the items of jobs."""
        return await asyncio.to_thread(self._client.put, *sources)

    async def send(self, job: Job, priority: Priority = DEFAULT_LEVEL) -> str:
        """Put a job on the queue; its id."""
        return await asyncio.to_thread(self._client.send, job, priority)

    async def send_many(self, jobs: Iterable[Job], priority: Priority = DEFAULT_LEVEL) -> list[str]:
        """Put jobs on the queue in one go."""
        return await asyncio.to_thread(self._client.send_many, list(jobs), priority)

    async def wait(self, job_id: str, timeout_s: float | None = None) -> Outcome:
        """Wait until a job has ended, beside any number of others; how it did."""
        async with asyncio.timeout(timeout_s):
            return await self._listener.outcome(job_id)

    async def read(self, image: ImageRef) -> bytes:
        """The encoded bytes of an image, checked against their hash."""
        return await asyncio.to_thread(self._client.read, image)

    async def status(self, job_id: str) -> Record | None:
        """The record of a job, None for an unknown one."""
        return await asyncio.to_thread(self._client.status, job_id)

    async def cancel(self, job_id: str) -> Record | None:
        """Cancel a job; its record as it was before, None for an unknown one."""
        return await asyncio.to_thread(self._client.cancel, job_id)
