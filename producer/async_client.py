"""Use agewell from asyncio: store images, send jobs, wait for outcomes, read the results.

Sending and reading run in a thread. Waiting needs no thread: one connection to Redis listens for
the results of all the jobs that coroutines wait for.
"""

import asyncio
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Self

from agewell.producer.client import Client, Priority, Source
from agewell.producer.receiving.listen import Listener
from agewell.producer.receiving.outcome import Outcome, read_outcome
from agewell.shared.protocol.levels import DEFAULT_LEVEL
from agewell.shared.protocol.messages import ImageRef, Job, Output
from agewell.shared.protocol.tasks import Queue
from agewell.shared.queue.forecast.predict import Forecast
from agewell.shared.queue.record import Record
from agewell.shared.redis.connection import connect_async, unreachable
from agewell.shared.settings import Settings


class AsyncClient:
    """A program's connection to the queue, for one event loop.

    Use `await AsyncClient.open()` to connect. Each method does the same as the method of `Client`
    with the same name, and raises the same errors.
    """

    def __init__(self, client: Client) -> None:
        """Wrap a client, and close it with this one."""
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
        """Connect to Redis and the blob store. None reads the AGEWELL_ variables."""
        return cls(await asyncio.to_thread(Client.open, settings))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections, and cancel the coroutines that still wait. Jobs go on."""
        await self._listener.close()
        await self._redis.aclose()
        await asyncio.to_thread(self._client.close)

    async def put(self, *sources: Source) -> tuple[ImageRef, ...]:
        """Store encoded images, and return references to them, in order, for the items of jobs."""
        return await asyncio.to_thread(self._client.put, *sources)

    async def job(
        self,
        op: str,
        items: Iterable[Mapping[str, ImageRef | str]],
        output: Output | None = None,
        **parameters: Any,
    ) -> Job:
        """Make a job of any operation, as `Client.job` does."""
        return await asyncio.to_thread(self._client.job, op, list(items), output, **parameters)

    async def send(
        self,
        job: Job,
        priority: Priority = DEFAULT_LEVEL,
        deadline_s: float | None = None,
        tenant: str | None = None,
        due_s: float | None = None,
    ) -> str:
        """Send a job to its queue, and return its id."""
        send = self._client.send
        return await asyncio.to_thread(send, job, priority, deadline_s, tenant, due_s)

    async def send_many(
        self,
        jobs: Iterable[Job],
        priority: Priority = DEFAULT_LEVEL,
        deadline_s: float | None = None,
        tenant: str | None = None,
        due_s: float | None = None,
    ) -> list[str]:
        """Send jobs together, and return their ids in order."""
        send = self._client.send_many
        return await asyncio.to_thread(send, list(jobs), priority, deadline_s, tenant, due_s)

    async def estimate(
        self,
        priority: Priority = DEFAULT_LEVEL,
        tenant: str | None = None,
        queue: str = Queue.CV.value,
    ) -> Forecast:
        """Predict how long a job would wait if you sent it now, as `Client.estimate` does."""
        return await asyncio.to_thread(self._client.estimate, priority, tenant, queue)

    async def wait(self, job_id: str, timeout_s: float | None = None) -> Outcome:
        """Wait until a job has ended, and return its outcome. Many coroutines may wait at once."""
        async with asyncio.timeout(timeout_s):
            return await self._listener.outcome(job_id)

    async def read(self, image: ImageRef) -> bytes:
        """Read the encoded bytes of an image, checked against the hash in its reference."""
        return await asyncio.to_thread(self._client.read, image)

    async def status(self, job_id: str) -> Record | None:
        """Return the record of a job, or None if the job is unknown."""
        return await asyncio.to_thread(self._client.status, job_id)

    async def cancel(self, job_id: str) -> Record | None:
        """Cancel a job. Return its record as it was before, or None if the job is unknown."""
        return await asyncio.to_thread(self._client.cancel, job_id)
