"""Use agewell from Python: store images, send jobs, wait for outcomes, read the results.

`Client` blocks. For asyncio, use `agewell.AsyncClient`.
"""

from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Self

from agewell.producer.receiving.collect import Collector
from agewell.producer.receiving.outcome import Outcome
from agewell.producer.sending.cancel import cancel_job
from agewell.producer.sending.checks import check_job, make_job
from agewell.producer.sending.files import LocalFile, checked_image, read_image
from agewell.producer.sending.limits import Credit
from agewell.producer.sending.offered import OfferedSchemas
from agewell.producer.sending.publish import publish
from agewell.producer.session import Session, make_session, open_session
from agewell.shared.protocol.levels import DEFAULT_LEVEL, level_from
from agewell.shared.protocol.messages import ImageRef, Job, MediaType, Output
from agewell.shared.protocol.tasks import Queue, queue_of
from agewell.shared.queue.forecast.estimate import estimate
from agewell.shared.queue.forecast.facts import Ask
from agewell.shared.queue.forecast.predict import Forecast
from agewell.shared.queue.record import Record
from agewell.shared.redis.connection import require_redis
from agewell.shared.settings import Settings
from agewell.shared.state_dir import locate

Source = str | PathLike[str] | tuple[str, bytes]
"""An image: a path, or a pair of a file name and encoded bytes."""

Priority = int | str
"""A priority level, 0 (most urgent) to 9, or its name: urgent, high, normal, low, bulk."""


class Client:
    """A program's connection to the queue. Threads may share it.

    Use `Client.open()` to connect. Every method that talks to Redis raises `BrokerUnreachableError`
    if Redis does not answer.

    Attributes:
        session: the connections to Redis, Celery and the blob store.
        collector: waits for jobs. It knows the jobs that this client has sent.
    """

    def __init__(self, session: Session) -> None:
        """Use connections that exist already."""
        self.session = session
        self.collector = Collector(session.app, session.client, session.settings)
        self._schemas = OfferedSchemas(lambda: session.client)

    @classmethod
    def open(cls, settings: Settings | None = None) -> Self:
        """Connect to Redis and the blob store.

        Args:
            settings: None reads the AGEWELL_ variables, as the command line does.

        Raises:
            SettingsError: a setting is bad.
            BrokerUnreachableError: Redis does not answer, or no `agewell up` runs with the
                state directory of the settings.
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
        """Close the connections. Jobs that you have sent go on."""
        self.session.client.close()
        self.session.app.close()

    def put(self, *sources: Source) -> tuple[ImageRef, ...]:
        """Store encoded images, and return references to them for the items of jobs.

        Args:
            sources: paths, or pairs of a file name and encoded bytes (JPEG, PNG, WebP, TIFF, BMP).

        Returns:
            One reference for each source, in the same order.

        Raises:
            BadFileError: a file cannot be read, is too large, or is no image of these formats.
            BlobStoreError: the blob store refuses the bytes or does not answer.
        """
        return tuple(self.session.blobs.put([self._read(source) for source in sources]))

    def job(
        self,
        op: str,
        items: Iterable[Mapping[str, ImageRef | str]],
        output: Output | None = None,
        **parameters: Any,
    ) -> Job:
        """Make a job of any operation, also of one that only workers have installed.

        Args:
            op: the operation, such as "sepia".
            items: the images of each item by role, and optionally its `output_name`.
            output: the format of the results. None: PNG.
            parameters: the parameters of the operation, and its shared images.

        Raises:
            ParameterError: no running worker offers the operation, or a parameter is not allowed.
            BadJobError: an image is missing, or there are too many items.
        """
        return make_job(self._schemas.find(op), items, output or Output(), parameters)

    def send(
        self,
        job: Job,
        priority: Priority = DEFAULT_LEVEL,
        deadline_s: float | None = None,
        tenant: str | None = None,
        due_s: float | None = None,
    ) -> str:
        """Send a job to its queue, and return its id.

        Args:
            job: the operation and its items.
            priority: a level, 0 (most urgent) to 9, or its name.
            deadline_s: the job expires if it has not started this many seconds after it was sent.
                None: it waits without a limit.
            tenant: for whom the job runs, `tenant` or `team/user`. None: for nobody in particular.
            due_s: the job should be done this many seconds after it was sent. It moves forward in
                the order for it, within its tenant's share.

        Raises:
            ParameterError: the priority, the deadline or the tenant is not allowed.
            MessageTooLargeError: the job is larger than AGEWELL_MAX_MESSAGE_BYTES.
            QueueFullError, BrokerFullError: the queue or Redis has no room. The job was not sent.
        """
        return self.send_many([job], priority, deadline_s, tenant, due_s)[0]

    def send_many(
        self,
        jobs: Iterable[Job],
        priority: Priority = DEFAULT_LEVEL,
        deadline_s: float | None = None,
        tenant: str | None = None,
        due_s: float | None = None,
    ) -> list[str]:
        """Send jobs together, and return their ids in order.

        This is many times faster than sending them one by one. All of them are sent if there is
        room for one, and none is sent if there is no room.

        Args:
            jobs: the jobs.
            priority: a level, 0 (most urgent) to 9, or its name.
            deadline_s: a job expires if it has not started this many seconds after it was sent.
            tenant: for whom the jobs run, `tenant` or `team/user`.
            due_s: a job should be done this many seconds after it was sent.

        Raises:
            ParameterError: the priority, the deadline or the tenant is not allowed, or no running
                worker offers the operation of a job.
            BadJobError: a step of a pipeline is not allowed.
            MessageTooLargeError: a job is larger than AGEWELL_MAX_MESSAGE_BYTES.
            QueueFullError, BrokerFullError: the queue or Redis has no room.
        """
        level, found = level_from(str(priority)), list(jobs)
        for job in found:
            check_job(job, self._schemas)
        for queue in {queue_of(job.op) for job in found}:
            Credit(self.session).refill(queue)
        ids = [
            sent.job_id for sent in publish(self.session, found, level, deadline_s, tenant, due_s)
        ]
        self.collector.known.add(ids)
        return ids

    def estimate(
        self,
        priority: Priority = DEFAULT_LEVEL,
        tenant: str | None = None,
        queue: str = Queue.CV.value,
    ) -> Forecast:
        """Predict how long a job would wait if you sent it now.

        Args:
            priority: a level, 0 (most urgent) to 9, or its name.
            tenant: for whom the job would run.
            queue: `cv` for operations, `infer` for models.

        Returns:
            `wait_s`, the seconds until it starts. They are None if nobody can tell, as `why` says.

        Raises:
            ParameterError: the priority, the tenant or the queue is not allowed.
        """
        session, ask = self.session, Ask(level_from(str(priority)), tenant)
        return estimate(session.client, session.settings, queue, [ask], session.now())[0]

    def wait(self, job_id: str, timeout_s: float | None = None) -> Outcome:
        """Wait until a job has ended, and return its outcome.

        Args:
            job_id: the id that `send` returned.
            timeout_s: the longest wait, in seconds. None: no limit.

        Raises:
            TimeoutError: the job has not ended in time. It goes on, and you may wait again.
        """
        return next(self.outcomes([job_id], timeout_s))

    def outcomes(self, job_ids: Iterable[str], timeout_s: float | None = None) -> Iterator[Outcome]:
        """Wait for many jobs, and yield each outcome when its job has ended.

        Args:
            job_ids: ids that `send` or `send_many` returned.
            timeout_s: the longest wait for all of them together, in seconds. None: no limit.

        Raises:
            TimeoutError: some jobs have not ended in time. They go on.
        """
        return self.collector.outcomes(job_ids, timeout_s)

    def read(self, image: ImageRef) -> bytes:
        """Read the encoded bytes of an image, checked against the hash in its reference.

        Raises:
            BlobMissingError: the bytes have expired (AGEWELL_BLOB_TTL_S).
            BlobDamagedError: the stored bytes have another hash.
            BlobStoreError: the blob store does not answer.
        """
        return self.session.blobs.get(image)

    def status(self, job_id: str) -> Record | None:
        """Return the record of a job, or None if the job is unknown or its record has expired."""
        return self.session.ledger.get(job_id)

    def cancel(self, job_id: str) -> Record | None:
        """Cancel a job. A waiting job will not run, and a running one ends at its next step.

        Returns:
            The record as it was before, or None if the job is unknown. A job that had ended
            already stays as it is.
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
