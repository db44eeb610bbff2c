"""Collects the results of a job's items: errors, predictions, and files."""

from collections.abc import Sequence
from dataclasses import dataclass

from agewell.shared.blobs.blobs import Blobs
from agewell.shared.errors import AgewellError, AllItemsFailedError
from agewell.shared.protocol.formats import FORMATS
from agewell.shared.protocol.messages import (
    ErrorInfo,
    InferJob,
    Item,
    ItemResult,
    Job,
    JobResult,
    MediaType,
    primary_image,
)
from agewell.shared.protocol.output_names import extra_name, output_name

Info = dict[str, str | int | float | bool]
"""Facts about one item, for its result."""
Extra = tuple[str, MediaType, bytes]
"""An additional file of an item: the suffix of its name, its media type, its bytes."""


@dataclass(frozen=True)
class _Pending:
    """Bytes that are not stored yet, and the item that they belong to."""

    index: int
    name: str
    media_type: MediaType
    data: bytes
    is_extra: bool


class Results:
    """The results of a job's items. Files are stored several at a time, in bounded memory."""

    _PENDING_MAX_BYTES = 4 * 2**20

    def __init__(self, job: Job, blobs: Blobs) -> None:
        self._job = job
        self._blobs = blobs
        self._items: list[ItemResult] = []
        self._errors: list[AgewellError] = []
        self._pending: list[_Pending] = []
        self._pending_bytes = 0

    def add_image(self, item: Item, data: bytes, info: Info) -> None:
        """Add the next item's encoded image."""
        self.add(item, ItemResult(info=info), data)

    def add(
        self, item: Item, result: ItemResult, image: bytes | None, extras: Sequence[Extra] = ()
    ) -> None:
        """Add the next item's result, with the bytes of its image and of its additional files."""
        index, name = len(self._items), _output_name(item, self._job)
        self._items.append(result)
        if image is not None:
            image_type = FORMATS[self._job.output.format].media_type
            self._keep(_Pending(index, name, image_type, image, is_extra=False))
        for suffix, kind, data in extras:
            self._keep(_Pending(index, extra_name(name, suffix), kind, data, is_extra=True))

    def _keep(self, pending: _Pending) -> None:
        self._pending.append(pending)
        self._pending_bytes += len(pending.data)
        if self._pending_bytes >= self._PENDING_MAX_BYTES:
            self._store()

    def add_error(self, error: AgewellError) -> None:
        """Add the next item's error."""
        self._errors.append(error)
        self._items.append(ItemResult(error=ErrorInfo.of(error)))

    def finish(self) -> JobResult:
        """Store the remaining files and return the job's result.

        Raises:
            AgewellError: the error of the item, if the job has only one and it failed.
            AllItemsFailedError: every one of several items failed.
            BlobStoreError: the files could not be stored.
        """
        self._store()
        if len(self._errors) < len(self._items):
            return JobResult(op=self._job.op, items=tuple(self._items))
        if len(self._errors) == 1:
            raise self._errors[0]
        raise AllItemsFailedError(
            [ErrorInfo.of(error).model_dump(mode="json") for error in self._errors]
        )

    def _store(self) -> None:
        refs = self._blobs.put((each.name, each.media_type, each.data) for each in self._pending)
        for each, ref in zip(self._pending, refs, strict=True):
            item = self._items[each.index]
            update = {"extras": (*(item.extras or ()), ref)} if each.is_extra else {"image": ref}
            self._items[each.index] = item.model_copy(update=update)
        self._pending, self._pending_bytes = [], 0


def _output_name(item: Item, job: Job) -> str:
    made_by = job.model if isinstance(job, InferJob) else job.op
    return item.output_name or output_name(primary_image(item).name, made_by, job.output.format)
