"""From files to jobs: read, hash, store, publish; in bounded memory, however many files."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from producer.files import LocalFile, read_image
from producer.publish import Sent, publish
from producer.room import OnFull, Room, refuse
from producer.session import Session
from shared.errors import BadFileError
from shared.messages import MAX_ITEMS, ImageRef, Job, MediaType
from shared.names import QUEUE_OF_OP

AUTO_JOB_BYTES = 2**20
"""Encoded bytes that make a job worth its cost to the queue: about a tenth of a second of work."""

OUTBOX_JOBS = 100
OUTBOX_S = 0.05
"""Jobs wait in the outbox for company, but not for long: workers may be idle."""

REFS_KEPT = 256

Sources = dict[str, LocalFile]
"""The files of one item, by the item's field."""


class Submitter:
    """Publishes jobs of one operation."""

    def __init__(
        self,
        session: Session,
        *,
        make_job: Callable[[list[dict[str, ImageRef]]], Job],
        level: int,
        deadline_s: float | None = None,
        on_full: OnFull = refuse,
    ) -> None:
        self._session = session
        self._room = Room(session, on_full)
        self._make_job = make_job
        self._level = level
        self._deadline_s = deadline_s
        # One background under a thousand foregrounds is read and stored once.
        self._refs: OrderedDict[Path, ImageRef] = OrderedDict()
        self.bad_files: dict[str, BadFileError] = {}

    def submit(
        self,
        sources: Iterable[Sources],
        images_per_job: int | None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Iterator[Sent]:
        """Send every item; a bad file is kept once in `bad_files`, and the others go on.

        Args:
            sources: the files of each item.
            images_per_job: items in a job, at most; None: chosen by the files' sizes.
            progress: told how many items have been dealt with since the last call.

        Raises:
            BrokerUnreachableError: Redis does not answer.
            QueueFullError, BrokerFullError: there is no room, and `on_full` does not wait for it;
                the jobs that were yielded are sent.
        """
        outbox: list[Job] = []
        due_at = time.monotonic()
        for parcel in self._parcels(sources, images_per_job):
            items = self._upload(parcel)
            if items:
                job = self._make_job(items)
                queue = QUEUE_OF_OP[job.op]
                while not self._room.take(queue):
                    yield from publish(self._session, outbox, self._level, self._deadline_s)
                    outbox = []
                    self._room.wait(queue)
                outbox.append(job)
            progress(len(parcel))
            if len(outbox) >= OUTBOX_JOBS or time.monotonic() >= due_at:
                yield from publish(self._session, outbox, self._level, self._deadline_s)
                outbox, due_at = [], time.monotonic() + OUTBOX_S
        yield from publish(self._session, outbox, self._level, self._deadline_s)

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
            self.add_bad(error)
            return False
        return True

    def add_bad(self, error: BadFileError) -> None:
        """Remember a file, folder or pattern of which nothing can be sent."""
        self.bad_files.setdefault(str(error), error)


def _size_or_zero(file: LocalFile) -> int:
    try:
        return file.size_bytes()
    except BadFileError:
        return 0  # reported when it is read
