"""Runs a job item by item: fetch, decode, compute, encode, store.

One bad image never fails the other items.
"""

import dataclasses
import logging
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import numpy as np

from agewell.shared.blobs.blobs import Blobs
from agewell.shared.errors import (
    AgewellError,
    BadImageError,
    CancelledError,
    ImageTooLargeError,
    MaskError,
    OperationError,
    PassingError,
    ShapeError,
    UnsupportedPixelsError,
)
from agewell.shared.protocol.messages import (
    ImageRef,
    Item,
    Job,
    JobResult,
    primary_image,
)
from agewell.shared.settings import Settings
from agewell.workers.imaging.channels import channels
from agewell.workers.imaging.codec import encode
from agewell.workers.imaging.image import Image
from agewell.workers.jobs.images import Files, Images
from agewell.workers.jobs.item_results import Info, Results
from agewell.workers.jobs.stages import Stage, stages_of
from agewell.workers.operations.context import JobContext
from agewell.workers.operations.result import Result
from agewell.workers.process import memory

Checkpoint = Callable[[], None]
Progress = Callable[[float], None]

log = logging.getLogger(__name__)


def run_job(
    job: Job,
    blobs: Blobs,
    settings: Settings,
    checkpoint: Checkpoint = lambda: None,
    progress: Progress = lambda _done: None,
) -> JobResult:
    """Run every item of a job.

    Args:
        job: the operation, or the steps of a pipeline, and the items.
        blobs: the store of the images and of the results.
        settings: limits and backends.
        checkpoint: called between items, and between the steps of a long one. It raises to end the
            job.
        progress: called with the part of the job that is done, 0 to 1.

    Returns:
        One result for each item. A failed item has an error.

    Raises:
        BadJobError: a step of a pipeline is not allowed.
        AgewellError: the error of the item, if the job has only one and it failed.
        AllItemsFailedError: every one of several items failed.
        CancelledError: raised by the checkpoint.
        PassingError: the blob store does not answer.
    """
    run = _Run(job, blobs, settings, checkpoint, progress)
    results = Results(job, blobs)
    for number, item in enumerate(job.items):
        checkpoint()
        try:
            results.add_image(item, *run.item(number, item))
        except (PassingError, CancelledError):
            raise
        except AgewellError as error:
            results.add_error(error)
    return results.finish()


class _Run:
    """One run of a job."""

    def __init__(
        self,
        job: Job,
        blobs: Blobs,
        settings: Settings,
        checkpoint: Checkpoint,
        progress: Progress,
    ) -> None:
        self._job = job
        self._stages = stages_of(job, settings)
        shared = {ref.sha256 for stage in self._stages for ref in stage.references.values()}
        self._images = Images(blobs, settings, len(shared))
        self._settings = settings
        self._checkpoint = checkpoint
        self._progress = progress
        self._steps_done = 0

    def item(self, number: int, item: Item) -> tuple[bytes, Info]:
        """Compute and encode one item."""
        name, output = primary_image(item).name, self._job.output
        self._steps_done = number * len(self._stages)
        try:
            result = self._compute(item)
            effort = output.effort or "fast"
            data = encode(
                result.image, output.format, output.quality, name, effort, result.metadata
            )
            return data, dict(result.info)
        except AgewellError:
            raise
        except Exception as error:  # OpenCV raises any class; only this item fails
            if memory.is_exhausted(error):
                raise memory.error_for(name, self._settings) from error
            raise

    def _compute(self, item: Item) -> Result:
        """Run every stage on an item."""
        first, *further = self._stages
        result = self._run_stage(first, first.references_of(item), item)
        for stage in further:
            self._checkpoint()
            flowing = {stage.flowing: result.image} if stage.flowing else {}
            found = self._run_stage(stage, stage.references, item, flowing)
            info = {**result.info, **found.info}
            result = Result(found.image, info, found.metadata or result.metadata)
        return result

    def _run_stage(
        self,
        stage: Stage,
        references: Mapping[str, ImageRef],
        item: Item,
        flowing: Mapping[str, Image] = MappingProxyType({}),
    ) -> Result:
        primary = primary_image(item)
        name = primary.name
        main = stage.flowing or stage.operation.schema.inputs[0].name
        needs = stage.operation.needs_of(stage.parameters)
        context = JobContext(
            self._settings,
            self._checkpoint,
            self._report,
            files=Files(self._images, references),
            original=partial(self._images.file, primary),
        )
        try:
            images = {
                role: self._images.get(ref, needs if role == main else None)
                for role, ref in references.items()
            }
            result = stage.operation.run({**images, **flowing}, stage.parameters, context)
            self._steps_done += 1
            self._report(0.0)
            return dataclasses.replace(result, image=_checked(result.image, name, self._settings))
        except AgewellError as error:
            names = {role: ref.name for role, ref in references.items()}
            raise stage.named(_with_file_name(error, names, name)) from None
        except Exception as error:  # an operation raises any class; only this item fails
            if memory.is_exhausted(error):
                raise memory.error_for(name, self._settings) from error
            log.exception("operation %s failed on %s", stage.operation.name, name)
            failed = OperationError(name, f"{type(error).__name__}: {error}")
            raise stage.named(failed) from error

    def _report(self, done: float) -> None:
        """Report progress: the steps that are done, and a part of the present one."""
        steps = len(self._job.items) * len(self._stages)
        self._progress((self._steps_done + done) / steps)


_AN_IMAGE = "an image, which is uint8 of shape (H, W), (H, W, 3) or (H, W, 4)"


def _checked(image: object, name: str, settings: Settings) -> Image:
    """Check what an operation returned, and return it as an image.

    Raises:
        OperationError: it is no image.
        ImageTooLargeError: it is larger than an image may be.
    """
    if not isinstance(image, np.ndarray):
        raise OperationError(name, f"it returned {type(image).__name__}, not {_AN_IMAGE}")
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    try:
        channels(image, name)
    except UnsupportedPixelsError:
        found = f"it returned an array of shape {image.shape} and type {image.dtype}"
        raise OperationError(name, f"{found}, not {_AN_IMAGE}") from None
    height, width = image.shape[:2]
    if width * height > settings.max_pixels or max(width, height) > settings.max_side:
        limit = f"{settings.max_pixels:,} pixels and {settings.max_side:,} px a side"
        raise ImageTooLargeError(name, f"the result has {width} x {height} px; the limit: {limit}")
    return image


def _with_file_name(error: AgewellError, names: Mapping[str, str], main: str) -> AgewellError:
    """Replace the role of an image in an error by the name of its file.

    Args:
        error: the error of an operation, which knows the roles only.
        names: the names of the files by role.
        main: the name of the item's main image.
    """
    match error:
        case ShapeError():
            return ShapeError(f"{main}: {error.reason}")
        case BadImageError() | MaskError():
            return dataclasses.replace(error, name=names.get(error.name, error.name))
        case _:
            return error
