"""agewell from Python: images in, typed jobs, outcomes and images back.

`Client` blocks; `agewell.producer.async_client.AsyncClient` is the same for asyncio.
"""

from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import Self

from agewell.producer.receiving.collect import Collector
from agewell.producer.receiving.outcome import Outcome
from agewell.producer.sending.cancel import cancel_job
from agewell.producer.sending.files import LocalFile, checked_image, read_image
from agewell.producer.sending.limits import Credit
from agewell.producer.sending.publish import publish
from agewell.producer.session import Session, make_session, open_session
from agewell.shared.protocol.levels import DEFAULT_LEVEL, level_from
from agewell.shared.protocol.messages import ImageRef, Job, MediaType
from agewell.shared.protocol.tasks import QUEUE_OF_OP
from agewell.shared.queue.record import Record
from agewell.shared.redis.connection import require_redis
from agewell.shared.settings import Settings
from agewell.shared.state_dir import locate

Source = str | PathLike[str] | tuple[str, bytes]
"""An image: a path, or a name and encoded bytes."""

Priority = int | str
"""A level, 0 (most urgent) to 9, or its name: urgent, high, normal, low, bulk."""


class Client:
    """A program's connection to the queue; threads may share it.

    Raises, wherever it talks to Redis:
        BrokerUnreachableError: Redis does not answer.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.collector = Collector(session.app, session.client, session.settings)

    @classmethod
    def open(cls, settings: Settings | None = None) -> Self:
        """Connect as the command line does, by the environment, or by settings given.

        Raises:
            SettingsError: a setting is bad.
        """
        if settings is None:
            return cls(open_session())
        session = make_session(locate(settings))
        require_redis(session.settings, session.client)
        return cls(session)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections; jobs that were sent go on."""
        self.session.client.close()
        self.session.app.close()

    def put(self, *sources: Source) -> tuple[ImageRef, ...]:
        """Store encoded images; references to them, in order, for the items of jobs.

        Raises:
            BadFileError: a file cannot be read, is too large or no image that agewell takes.
            BlobStoreError: the store does not take them.
        """
        return tuple(self.session.blobs.put([self._read(source) for source in sources]))

    def send(
        self, job: Job, priority: Priority = DEFAULT_LEVEL, deadline_s: float | None = None
    ) -> str:
        """Put a job on the queue; its id. One not started by its deadline expires, unrun.

        Raises:
            ParameterError: there is no such priority.
            QueueFullError, BrokerFullError: there is no room.
        """
        return self.send_many([job], priority, deadline_s)[0]

    def send_many(
        self,
        jobs: Iterable[Job],
        priority: Priority = DEFAULT_LEVEL,
        deadline_s: float | None = None,
    ) -> list[str]:
        """Put jobs on the queue in one go, which is many times faster than one by one.

        Raises:
            ParameterError: there is no such priority.
            QueueFullError, BrokerFullError: there is no room; none of the jobs has been sent. Where
                there is room for one, all are sent.
        """
        level, found = level_from(str(priority)), list(jobs)
        for queue in {QUEUE_OF_OP[job.op] for job in found}:
            Credit(self.session).refill(queue)
        ids = [sent.job_id for sent in publish(self.session, found, level, deadline_s)]
        self.collector.known.add(ids)
        return ids

    def wait(self, job_id: str, timeout_s: float | None = None) -> Outcome:
        """Wait until a job has ended; how it did.

        Raises:
            TimeoutError: it has not within that time; it goes on all the same.
        """
        return next(self.outcomes([job_id], timeout_s))

    def outcomes(self, job_ids: Iterable[str], timeout_s: float | None = None) -> Iterator[Outcome]:
        """Wait for many jobs; each outcome as it comes.

        Raises:
            TimeoutError: some have not ended within that time.
        """
        return self.collector.outcomes(job_ids, timeout_s)

    def read(self, image: ImageRef) -> bytes:
        """The encoded bytes of an image, checked against their hash.

        Raises:
            BlobMissingError: they have expired.
            BlobDamagedError: they are not those that the reference names.
            BlobStoreError: the store does not give them.
        """
        return self.session.blobs.get(image)

    def status(self, job_id: str) -> Record | None:
        """The record of a job, None for an unknown one."""
        return self.session.ledger.get(job_id)

    def cancel(self, job_id: str) -> Record | None:
        """Cancel a job: a waiting one will not run, a running one ends at its next step.

        Returns:
            Its record as it was before; None for an unknown job.
        """
        return cancel_job(self.session, job_id)

    def _read(self, source: Source) -> tuple[str, MediaType, bytes]:
        max_bytes = self.session.settings.max_file_bytes
        if isinstance(source, tuple):
            name, data = source
            return name, checked_image(name, data, max_bytes), data
        file = LocalFile(Path(source), Path(source).name)
        media_type, data = read_image(file, max_bytes)
        return file.name, media_type, data
