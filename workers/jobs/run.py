"""Runs a job item by item: fetch, decode, compute, encode, store.

One bad image never fails the other items.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable

from agewell.shared.blobs.blobs import Blobs
from agewell.shared.errors import (
    AgewellError,
    CancelledError,
    MaskError,
    OperationError,
    PassingError,
    ShapeError,
)
from agewell.shared.protocol.messages import (
    AlphaBlendItem,
    AlphaBlendJob,
    HsvItem,
    HsvJob,
    ImageRef,
    Item,
    Job,
    JobResult,
    PoissonBlendItem,
    PoissonBlendJob,
    primary_image,
)
from agewell.shared.settings import Settings
from agewell.workers.imaging.codec import Limits, as_bgr, as_mask, decode, encode
from agewell.workers.imaging.image import Image
from agewell.workers.jobs.item_results import Info, Results
from agewell.workers.operations.alpha_blend import alpha_blend
from agewell.workers.operations.hsv import hsv
from agewell.workers.operations.poisson.blend import poisson_blend
from agewell.workers.process import memory

Checkpoint = Callable[[], None]

log = logging.getLogger(__name__)


def limits_of(settings: Settings) -> Limits:
    """Return the limits of one image."""
    return Limits(
        max_file_bytes=settings.max_file_bytes,
        max_pixels=settings.max_pixels,
        max_side=settings.max_side,
    )


class Images:
    """Decoded images of one job. The last few are cached for items that share them."""

    _KEPT = 2

    def __init__(self, blobs: Blobs, settings: Settings) -> None:
        self._blobs = blobs
        self._limits = limits_of(settings)
        self._recent: OrderedDict[str, Image] = OrderedDict()

    def get(self, ref: ImageRef) -> Image:
        """Fetch and decode an image. The array is shared and read-only."""
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
        blobs: the store of the images and of the results.
        settings: limits and backends.
        checkpoint: called between items, and between the steps of a long one. It raises to end the
            job.

    Returns:
        One result for each item. A failed item has an error.

    Raises:
        AgewellError: the error of the item, if the job has only one and it failed.
        AllItemsFailedError: every one of several items failed.
        CancelledError: raised by the checkpoint.
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


def _run_item(
    job: Job,
    item: Item,
    images: Images,
    settings: Settings,
    checkpoint: Checkpoint,
) -> tuple[bytes, Info]:
    """Compute and encode one item."""
    name = primary_image(item).name
    try:
        image, info = _compute(job, item, images, settings, checkpoint)
        return encode(image, job.output.format, job.output.quality, name), info
    except AgewellError as error:
        raise _with_file_name(error, item) from None
    except Exception as error:  # OpenCV and fpie raise any class; only this item fails
        if memory.is_exhausted(error):
            raise memory.error_for(name, settings) from error
        log.exception("operation %s failed on %s", job.op, name)
        raise OperationError(name, f"{type(error).__name__}: {error}") from error


def _compute(
    job: Job, item: Item, images: Images, settings: Settings, checkpoint: Checkpoint
) -> tuple[Image, Info]:
    """Decode an item's images and run the operation on them."""
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


def _with_file_name(error: AgewellError, item: Item) -> AgewellError:
    """Add the file's name to an error, if the operation did not know it."""
    match error, item:
        case ShapeError(), _:
            return ShapeError(f"{primary_image(item).name}: {error.reason}")
        case MaskError(), AlphaBlendItem(mask=ImageRef(name=name)) | PoissonBlendItem(
            mask=ImageRef(name=name)
        ):
            return MaskError(name, error.reason)
        case _:
            return error
