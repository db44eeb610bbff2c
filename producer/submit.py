"""From files to jobs: read, hash, store, publish; in bounded memory, however many files."""

import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kombu.exceptions

from producer.files import LocalFile, read_image
from producer.session import Session
from shared.errors import BadFileError
from shared.messages import MAX_ITEMS, ImageRef, Job, MediaType
from shared.names import QUEUE_OF_OP, TASK_OF_OP
from shared.redis_client import REDIS_ERRORS, unreachable
from shared.stamp import HEADER

AUTO_JOB_BYTES = 2**20
"""Encoded bytes that make a job worth its cost to the queue: about a tenth of a second of work."""

OUTBOX_JOBS = 100
OUTBOX_S = 0.05
"""Jobs wait in the outbox for company, but not for long: workers may be idle."""

REFS_KEPT = 256

Sources = dict[str, LocalFile]
"""The files of one item, by the item's field."""


@dataclass(frozen=True)
class Sent:
    """A job that has been published."""

    job_id: str
    items: int


class Submitter:
    """Publishes jobs of one operation."""

    def __init__(
        self,
        session: Session,
        *,
        make_job: Callable[[list[dict[str, ImageRef]]], Job],
        level: int,
    ) -> None:
        self._session = session
        self._make_job = make_job
        self._level = level
        # One background under a thousand foregrounds is read and stored once.
        self._refs: OrderedDict[Path, ImageRef] = OrderedDict()
        self.bad_files: list[BadFileError] = []

    def submit(
        self,
        sources: Iterable[Sources],
        images_per_job: int | None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Iterator[Sent]:
        """Send every item; a bad file is kept in `bad_files`, and the others go on.

        Args:
            sources: the files of each item.
            images_per_job: items in a job, at most; None: chosen by the files' sizes.
            progress: told how many items have been dealt with since the last call.

        Raises:
            BrokerUnreachableError: Redis does not answer.
        """
        outbox: list[Job] = []
        due_at = time.monotonic()
        for parcel in self._parcels(sources, images_per_job):
            items = self._upload(parcel)
            if items:
                outbox.append(self._make_job(items))
            progress(len(parcel))
            if len(outbox) >= OUTBOX_JOBS or time.monotonic() >= due_at:
                yield from self._publish(outbox)
                outbox, due_at = [], time.monotonic() + OUTBOX_S
        yield from self._publish(outbox)

    def _parcels(
        self, sources: Iterable[Sources], images_per_job: int | None
    ) -> Iterator[list[Sources]]:
        """Cut the items into jobs: a fixed number each, or enough bytes to be worth a message."""
        parcel: list[Sources] = []
        size_bytes = 0
        for source in sources:
            parcel.append(source)
            size_bytes += sum(_size_or_zero(file) for file in source.values())
            full = len(parcel) >= (images_per_job or MAX_ITEMS)
            if full or (images_per_job is None and size_bytes >= AUTO_JOB_BYTES):
                yield parcel
                parcel, size_bytes = [], 0
        if parcel:
            yield parcel

    def _upload(self, parcel: Sequence[Sources]) -> list[dict[str, ImageRef]]:
        """Store the bytes of a parcel in one go; its items, without those whose files are bad."""
        fresh: dict[Path, tuple[str, MediaType, bytes]] = {}
        good = [source for source in parcel if self._read_into(fresh, source)]
        refs = self._session.blobs.put(fresh.values())
        self._refs.update(zip(fresh, refs, strict=True))
        items = [{field: self._refs[file.path] for field, file in s.items()} for s in good]
        while len(self._refs) > REFS_KEPT:
            self._refs.popitem(last=False)
        return items

    def _read_into(self, fresh: dict[Path, tuple[str, MediaType, bytes]], source: Sources) -> bool:
        """Read an item's files that are not stored yet; False when one of them is bad."""
        try:
            for file in source.values():
                if file.path in self._refs:
                    self._refs.move_to_end(file.path)
                elif file.path not in fresh:
                    media_type, data = read_image(file, self._session.settings.max_file_bytes)
                    fresh[file.path] = (file.name, media_type, data)
        except BadFileError as error:
            self.bad_files.append(error)
            return False
        return True

    def _publish(self, jobs: Sequence[Job]) -> list[Sent]:
        """Enter jobs into the ledger, then publish them in one pipeline."""
        sent = [Sent(str(uuid.uuid4()), len(job.items)) for job in jobs]
        try:
            enqueued_at = self._session.now()
            self._session.ledger.open(
                (s.job_id, job.op, self._level, s.items, enqueued_at)
                for s, job in zip(sent, jobs, strict=True)
            )
            with self._session.app.producer_pool.acquire(block=True) as producer, producer.batch():
                for s, job in zip(sent, jobs, strict=True):
                    self._send(producer, s.job_id, job, enqueued_at)
        except (*REDIS_ERRORS, kombu.exceptions.KombuError) as error:
            raise unreachable(self._session.settings, error) from error
        return sent

    def _send(self, producer: Any, job_id: str, job: Job, enqueued_at: float) -> None:
        """Publish as `send_task` does, less its subscription to each result: we poll instead."""
        task = TASK_OF_OP[job.op].value
        document = job.model_dump(mode="json", exclude_none=True)
        message = self._session.app.amqp.as_task_v2(
            job_id, task, args=[document], argsrepr=summary(job)
        )
        self._session.app.amqp.send_task_message(
            producer,
            task,
            message,
            queue=QUEUE_OF_OP[job.op].value,
            priority=self._level,
            headers={HEADER: enqueued_at},
        )


def summary(job: Job) -> str:
    """A job in a few words, for Flower and the logs in place of its whole document."""
    first = next(iter(job.items[0].model_dump().values()))["name"]
    more = f" and {len(job.items) - 1} more" if len(job.items) > 1 else ""
    return f"{job.op}: {first}{more}"


def _size_or_zero(file: LocalFile) -> int:
    try:
        return file.size_bytes()
    except BadFileError:
        return 0  # reported when it is read
