"""Makes jobs of files: reads, hashes, stores and publishes them, in bounded memory."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from agewell.producer.sending.files import LocalFile, read_image
from agewell.producer.sending.limits import Credit, OnFull, refuse
from agewell.producer.sending.outbox import Outbox
from agewell.producer.sending.plan import Planned, Sources
from agewell.producer.sending.publish import Sent, publish_as
from agewell.producer.session import Session
from agewell.shared.errors import BadFileError
from agewell.shared.protocol.messages import MAX_ITEMS, ImageRef, Job, MediaType
from agewell.shared.protocol.tasks import queue_of
from agewell.shared.text.printable import printable

AUTO_JOB_BYTES = 2**20
"""Encoded bytes of a job if its size is chosen here. They take a worker about 0.1 s."""

OUTBOX_S = 0.05
"""The longest time that a job waits for others in the outbox. Workers may be idle until then."""

REFS_KEPT = 256

Fields = dict[str, Any]
"""The fields of one item: references to its images, and the name of its output."""


class Submitter:
    """Makes and publishes the jobs of one operation."""

    def __init__(
        self,
        session: Session,
        *,
        make_job: Callable[[list[Fields]], Job],
        level: int,
        deadline_s: float | None = None,
        tenant: str | None = None,
        due_s: float | None = None,
        on_full: OnFull = refuse,
    ) -> None:
        """Prepare to send.

        Args:
            session: the connection to use.
            make_job: makes a job of the fields of its items.
            level: the priority level, 0 (most urgent) to 9.
            deadline_s: a job expires if it has not started this many seconds after it was sent.
            tenant: for whom the jobs run.
            due_s: a job should be done this many seconds after it was sent.
            on_full: called if there is no room. The default raises the error.
        """
        self._session = session
        self._make_job = make_job
        self._level = level
        self._deadline_s = deadline_s
        self._tenant, self._due_s = tenant, due_s
        # A background that a thousand foregrounds share is read and stored once.
        self._refs: OrderedDict[Path, ImageRef] = OrderedDict()
        self._outbox = Outbox(Credit(session, on_full), self._publish, OUTBOX_S)
        self.sent: list[Sent] = []
        """Every job whose publishing has begun. The ids are known even after an interruption."""
        self.unsure = 0
        """Number of jobs at the end of `sent` that may not have reached Redis."""
        self.bad_files: dict[str, BadFileError] = {}

    def submit(
        self,
        items: Iterable[Planned],
        images_per_job: int | None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Iterator[Sent]:
        """Send every item, and yield each job after it was published.

        An item with a bad file is left out, and the error is added to `bad_files` once.

        Args:
            items: the items to send.
            images_per_job: the most items in a job. None: chosen by the sizes of the files.
            progress: called with the number of items handled since the last call.

        Raises:
            BrokerUnreachableError: Redis does not answer.
            QueueFullError, BrokerFullError: there is no room, and `on_full` raised the error. The
                jobs yielded so far are sent.
        """
        for parcel in self._parcels(items, images_per_job):
            good = self._upload(parcel)
            if good:
                job = self._make_job([fields for _, fields in good])
                sent = Sent.of(job, [item for item, _ in good])
                yield from self._outbox.add((sent, job), queue_of(job.op))
            progress(len(parcel))
            if self._outbox.due():
                yield from self._outbox.flush()
        yield from self._outbox.flush()

    def _publish(self, jobs: Sequence[tuple[Sent, Job]]) -> list[Sent]:
        self.unsure = len(jobs)
        self.sent += [Sent(sent.job_id, sent.items) for sent, _ in jobs]
        publish_as(self._session, jobs, self._level, self._deadline_s, self._tenant, self._due_s)
        self.unsure = 0
        return [sent for sent, _ in jobs]

    def _parcels(
        self, items: Iterable[Planned], images_per_job: int | None
    ) -> Iterator[list[Planned]]:
        """Group items into jobs: a fixed number each, or about AUTO_JOB_BYTES of files each."""
        parcel: list[Planned] = []
        size_bytes, counted = 0, set[Path]()
        for item in items:
            parcel.append(item)
            new = [file for file in item.files.values() if file.path not in counted]
            size_bytes += sum(map(_size_or_zero, new))
            counted.update(file.path for file in new)  # a logo that all items share counts once
            full = len(parcel) >= (images_per_job or MAX_ITEMS)
            if full or (images_per_job is None and size_bytes >= AUTO_JOB_BYTES):
                yield parcel
                parcel, size_bytes, counted = [], 0, set()
        if parcel:
            yield parcel

    def _upload(self, parcel: Sequence[Planned]) -> list[tuple[Planned, Fields]]:
        """Store the files of a parcel together. Returns its items, without those with bad files."""
        fresh: dict[Path, tuple[str, MediaType, bytes]] = {}
        good = [item for item in parcel if self._read_into(fresh, item.files)]
        refs = self._session.blobs.put(fresh.values())
        self._refs.update(zip(fresh, refs, strict=True))
        found = [(item, self._fields(item)) for item in good]
        while len(self._refs) > REFS_KEPT:
            self._refs.popitem(last=False)
        return found

    def _fields(self, item: Planned) -> Fields:
        fields: Fields = {field: self._ref(file) for field, file in item.files.items()}
        return fields if item.output_name is None else fields | {"output_name": item.output_name}

    def _ref(self, file: LocalFile) -> ImageRef:
        ref, name = self._refs[file.path], printable(file.name)
        return ref if ref.name == name else ref.model_copy(update={"name": name})

    def _read_into(self, fresh: dict[Path, tuple[str, MediaType, bytes]], source: Sources) -> bool:
        """Read the files of an item that are not stored yet. Returns False if one is bad."""
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
        """Keep the error of a file, folder or pattern of which nothing can be sent."""
        self.bad_files.setdefault(str(error), error)


def _size_or_zero(file: LocalFile) -> int:
    try:
        return file.size_bytes()
    except BadFileError:
        return 0  # the error is reported when the file is read
