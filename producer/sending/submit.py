"""From files to jobs: read, hash, store, publish; in bounded memory, however many files."""

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
from agewell.shared.protocol.tasks import QUEUE_OF_OP
from agewell.shared.text.printable import printable

AUTO_JOB_BYTES = 2**20
"""Encoded bytes that make a job worth its cost to the queue: about a tenth of a second of work."""

OUTBOX_S = 0.05
"""Jobs wait in the outbox for company, but not for long: workers may be idle."""

REFS_KEPT = 256

Fields = dict[str, Any]
"""The fields of one item: references to its images, and its output name."""


class Submitter:
    """Publishes jobs of one operation."""

    def __init__(
        self,
        session: Session,
        *,
        make_job: Callable[[list[Fields]], Job],
        level: int,
        deadline_s: float | None = None,
        on_full: OnFull = refuse,
    ) -> None:
        self._session = session
        self._make_job = make_job
        self._level = level
        self._deadline_s = deadline_s
        # One background under a thousand foregrounds is read and stored once.
        self._refs: OrderedDict[Path, ImageRef] = OrderedDict()
        self._outbox = Outbox(Credit(session, on_full), self._publish, OUTBOX_S)
        self.sent: list[Sent] = []
        """Every job whose publishing has begun, so that an interruption loses no id."""
        self.unsure = 0
        """How many of the last of these may not have arrived."""
        self.bad_files: dict[str, BadFileError] = {}

    def submit(
        self,
        items: Iterable[Planned],
        images_per_job: int | None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Iterator[Sent]:
        """Send every item; a bad file is kept once in `bad_files`, and the others go on.

        Args:
            items: what to send.
            images_per_job: items in a job, at most; None: chosen by the files' sizes.
            progress: told how many items have been dealt with since the last call.

        Raises:
            BrokerUnreachableError: Redis does not answer.
            QueueFullError, BrokerFullError: there is no room, and `on_full` does not wait for it;
                the jobs that were yielded are sent.
        """
        for parcel in self._parcels(items, images_per_job):
            good = self._upload(parcel)
            if good:
                job = self._make_job([fields for _, fields in good])
                sent = Sent.of(job, [item for item, _ in good])
                yield from self._outbox.add((sent, job), QUEUE_OF_OP[job.op])
            progress(len(parcel))
            if self._outbox.due():
                yield from self._outbox.flush()
        yield from self._outbox.flush()

    def _publish(self, jobs: Sequence[tuple[Sent, Job]]) -> list[Sent]:
        self.unsure = len(jobs)
        self.sent += [Sent(sent.job_id, sent.items) for sent, _ in jobs]
        publish_as(self._session, jobs, self._level, self._deadline_s)
        self.unsure = 0
        return [sent for sent, _ in jobs]

    def _parcels(
        self, items: Iterable[Planned], images_per_job: int | None
    ) -> Iterator[list[Planned]]:
        """Cut the items into jobs: a fixed number each, or enough bytes to be worth a message."""
        parcel: list[Planned] = []
        size_bytes = 0
        for item in items:
            parcel.append(item)
            size_bytes += sum(_size_or_zero(file) for file in item.files.values())
            full = len(parcel) >= (images_per_job or MAX_ITEMS)
            if full or (images_per_job is None and size_bytes >= AUTO_JOB_BYTES):
                yield parcel
                parcel, size_bytes = [], 0
        if parcel:
            yield parcel

    def _upload(self, parcel: Sequence[Planned]) -> list[tuple[Planned, Fields]]:
        """Store the bytes of a parcel in one go; its items, without those whose files are bad."""
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
