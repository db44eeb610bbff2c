"""A job's way through a worker: fetch, decode, run, encode, store; item by item.

Each item settles on its own: one bad image never fails its neighbours.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable
from pathlib import PurePosixPath

from shared.blobs import Blobs
from shared.errors import (
    AgewellError,
    AllItemsFailedError,
    CancelledError,
    MaskError,
    OperationError,
    PassingError,
    ShapeError,
)
from shared.messages import (
    MEDIA_TYPE_OF_FORMAT,
    AlphaBlendItem,
    AlphaBlendJob,
    ErrorInfo,
    HsvItem,
    HsvJob,
    ImageRef,
    InferItem,
    InferJob,
    Item,
    ItemResult,
    Job,
    JobResult,
    PoissonBlendItem,
    PoissonBlendJob,
)
from shared.settings import Settings
from workers.images import Image, Limits, as_bgr, as_mask, decode, encode
from workers.ops.alpha_blend import alpha_blend
from workers.ops.hsv import hsv
from workers.ops.poisson import poisson_blend

Info = dict[str, str | int | float | bool]
Checkpoint = Callable[[], None]

log = logging.getLogger(__name__)


def limits_of(settings: Settings) -> Limits:
    """What one image may measure."""
    return Limits(
        max_file_bytes=settings.max_file_bytes,
        max_pixels=settings.max_pixels,
        max_side=settings.max_side,
    )


class Images:
    """Decoded images of one job, by reference; the last few are kept for items that share them."""

    _KEPT = 2

    def __init__(self, blobs: Blobs, settings: Settings) -> None:
        self._blobs = blobs
        self._limits = limits_of(settings)
        self._recent: OrderedDict[str, Image] = OrderedDict()

    def get(self, ref: ImageRef) -> Image:
        """Fetch and decode; the array is shared, so operations must not write into it."""
        image = self._recent.pop(ref.sha256, None)
        if image is None:
            image = decode(self._blobs.get(ref), ref.name, self._limits)
            image.flags.writeable = False
        self._recent[ref.sha256] = image
        if len(self._recent) > self._KEPT:
            self._recent.popitem(last=False)
        return image


def run_job(
    job: Job, blobs: Blobs, settings: Settings, checkpoint: Checkpoint = lambda: None
) -> JobResult:
    """Run every item of a job.

    Args:
        job: the operation and its items.
        blobs: where the images lie, and where the results go.
        settings: limits and backends.
        checkpoint: called between items, and between steps within a long one; raises to end the
            job.

    Raises:
        AgewellError: of a job of one item, the error of that item.
        AllItemsFailedError: of a job of several items, every one failed.
        CancelledError: the checkpoint says so.
        PassingError: the blob store does not answer.
    """
    images = Images(blobs, settings)
    results = Results(job, blobs)
    for item in job.items:
        checkpoint()
        try:
            results.add_image(item, *_run_item(job, item, images, settings, checkpoint))
        except (PassingError, CancelledError):
            raise
        except AgewellError as error:
            results.add_error(error)
    return results.finish()


class Results:
    """What becomes of a job's items; images are stored several at a time, in bounded memory."""

    _PENDING_MAX_BYTES = 4 * 2**20

    def __init__(self, job: Job, blobs: Blobs) -> None:
        self._job = job
        self._blobs = blobs
        self._items: list[ItemResult] = []
        self._errors: list[AgewellError] = []
        self._pending: list[tuple[int, str, bytes]] = []
        self._pending_bytes = 0

    def add_image(self, item: Item, data: bytes, info: Info) -> None:
        """Take the next item's encoded image."""
        name = _output_name(_primary(item).name, self._job)
        self._pending.append((len(self._items), name, data))
        self._pending_bytes += len(data)
        self._items.append(ItemResult(info=info))
        if self._pending_bytes >= self._PENDING_MAX_BYTES:
            self._store()

    def add_error(self, error: AgewellError) -> None:
        """Take the next item's error."""
        self._errors.append(error)
        self._items.append(ItemResult(error=ErrorInfo.of(error)))

    def finish(self) -> JobResult:
        """The job's result; raises where no item has one."""
        self._store()
        if len(self._errors) < len(self._items):
            return JobResult(op=self._job.op, items=tuple(self._items))
        if len(self._errors) == 1:
            raise self._errors[0]
        raise AllItemsFailedError(
            [ErrorInfo.of(error).model_dump(mode="json") for error in self._errors]
        )

    def _store(self) -> None:
        media_type = MEDIA_TYPE_OF_FORMAT[self._job.output.format]
        refs = self._blobs.put((name, media_type, data) for _, name, data in self._pending)
        for (index, _, _), ref in zip(self._pending, refs, strict=True):
            self._items[index] = self._items[index].model_copy(update={"image": ref})
        self._pending, self._pending_bytes = [], 0


def _run_item(
    job: Job,
    item: Item,
    images: Images,
    settings: Settings,
    checkpoint: Checkpoint,
) -> tuple[bytes, Info]:
    """Compute and encode one item."""
    name = _primary(item).name
    try:
        image, info = _compute(job, item, images, settings, checkpoint)
        return encode(image, job.output.format, job.output.quality, name), info
    except AgewellError as error:
        raise _naming(error, item) from None
    except Exception as error:  # what OpenCV or fpie raise, or no memory: this item's end alone
        log.exception("operation %s failed on %s", job.op, name)
        raise OperationError(name, f"{type(error).__name__}: {error}") from error


def _compute(
    job: Job, item: Item, images: Images, settings: Settings, checkpoint: Checkpoint
) -> tuple[Image, Info]:
    """Decode what an item refers to, and hand it to its operation."""
    match job, item:
        case HsvJob(), HsvItem():
            return hsv(images.get(item.image), full_range=job.full_range), {}
        case AlphaBlendJob(), AlphaBlendItem():
            return _alpha_blend(job, item, images), {}
        case PoissonBlendJob(), PoissonBlendItem():
            return _poisson_blend(job, item, images, settings, checkpoint)
        case _:
            raise TypeError(f"an item of {type(item).__name__} in a job of {type(job).__name__}")


def _alpha_blend(job: AlphaBlendJob, item: AlphaBlendItem, images: Images) -> Image:
    mask = as_mask(images.get(item.mask), item.mask.name) if item.mask else None
    return alpha_blend(
        images.get(item.foreground),
        as_bgr(images.get(item.background), item.background.name),
        alpha=job.alpha,
        mask=mask,
        offset=job.offset,
    )


def _poisson_blend(
    job: PoissonBlendJob,
    item: PoissonBlendItem,
    images: Images,
    settings: Settings,
    checkpoint: Checkpoint,
) -> tuple[Image, Info]:
    result = poisson_blend(
        as_bgr(images.get(item.source), item.source.name),
        as_mask(images.get(item.mask), item.mask.name),
        as_bgr(images.get(item.destination), item.destination.name),
        gradient=job.gradient,
        mask_on_source=job.mask_on_source,
        mask_on_destination=job.mask_on_destination,
        backend=settings.poisson_backend,
        max_pixels=settings.poisson_max_pixels,
        threads=settings.threads_per_job,
        checkpoint=checkpoint,
    )
    return result.image, {
        "backend": result.backend,
        "iterations": result.iterations,
        "residual": result.residual,
        "converged": result.converged,
    }


def _naming(error: AgewellError, item: Item) -> AgewellError:
    """The error with the file's name in it, where the operation did not know that."""
    match error, item:
        case ShapeError(), _:
            return ShapeError(f"{_primary(item).name}: {error.reason}")
        case MaskError(), AlphaBlendItem(mask=ImageRef(name=name)) | PoissonBlendItem(
            mask=ImageRef(name=name)
        ):
            return MaskError(name, error.reason)
        case _:
            return error


def _primary(item: Item) -> ImageRef:
    """The image that an item's result is named after."""
    match item:
        case HsvItem() | InferItem():
            return item.image
        case AlphaBlendItem():
            return item.foreground
        case PoissonBlendItem():
            return item.source


def _output_name(name: str, job: Job) -> str:
    """`trip/cat.jpg` becomes `trip/cat.hsv.png`."""
    path = PurePosixPath(name)
    made_by = job.model if isinstance(job, InferJob) else job.op
    return str(path.with_name(f"{path.stem or 'image'}.{made_by}.{job.output.format}"))
