"""Run an inference job: decode and prepare its items, run them in batches, keep the results.

All items are in progress at once, if memory allows, so that they share batches with each other and
with items of other jobs. Each item succeeds or fails by itself.
"""

import logging
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from agewell.shared.blobs.blobs import Blobs
from agewell.shared.errors import (
    AgewellError,
    CancelledError,
    InferenceError,
    ParameterError,
    PassingError,
)
from agewell.shared.protocol.messages import InferItem, InferJob, ItemResult, JobResult
from agewell.shared.settings import Settings
from agewell.workers.imaging.codec import encode
from agewell.workers.imaging.image import Image
from agewell.workers.inference.batching.batcher import Batcher
from agewell.workers.inference.batching.queue import Rank, Request
from agewell.workers.inference.engine import Engine
from agewell.workers.inference.inputs import Inputs
from agewell.workers.inference.pictures import encoded_pictures
from agewell.workers.jobs.images import Images
from agewell.workers.jobs.item_results import Extra, Info, Results
from agewell.workers.jobs.run import Checkpoint
from agewell.workers.models.arrays import TAP, OutOfMemoryError
from agewell.workers.models.model import Model, Prediction
from agewell.workers.models.preprocess import input_pixels
from agewell.workers.models.taps import as_npz, heat_map

Outputs = dict[str, npt.NDArray[Any]]

HELD_MAX_BYTES = 64 * 2**20
"""Decoded pixels of one job in memory. Above this limit, a job waits for its oldest item."""

CHECK_S = 0.5
"""A job that waits for a batch checks this often if it was cancelled."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Underway:
    """An item that waits for its pass, or that failed before it."""

    item: InferItem
    image: Image
    future: "Future[Outputs]"
    info: Info = field(default_factory=dict)  # what was done to the image


def run_infer_job(
    job: InferJob,
    engine: Engine,
    blobs: Blobs,
    settings: Settings,
    rank: Rank,
    checkpoint: Checkpoint = lambda: None,
) -> JobResult:
    """Run every item of a job with the same version of its model.

    Args:
        job: the model, its parameters and the images.
        engine: the models, and the batcher that runs them.
        blobs: the store of the images and of the results.
        settings: the limits of images.
        rank: the sort key of the job's items in the batcher, the smallest first.
        checkpoint: called between items and while waiting. It raises to end the job.

    Returns:
        One result for each item, in order. Failed items of a job with several have an error.

    Raises:
        UnknownModelError: there is no such model or version.
        ModelError: the model cannot be loaded.
        ParameterError: the model does not have a parameter of this name, or not with this value.
        AgewellError: the job has one item, and this is its error.
        AllItemsFailedError: the job has several items, and all of them failed.
        CancelledError: raised by the checkpoint.
        PassingError: the blob store does not answer.
    """
    with engine.registry.lease(job.model, job.version) as model, engine.batcher.working():
        run = _Run(job, model, engine.batcher, Images(blobs, settings), Results(job, blobs), rank)
        return run.all(checkpoint)


class _Run:
    """One job's run on one version of a model."""

    def __init__(
        self,
        job: InferJob,
        model: Model,
        batcher: Batcher,
        images: Images,
        results: Results,
        rank: Rank,
    ) -> None:
        self._job = job
        self._model = model
        self._batcher = batcher
        self._results = results
        self._rank = rank
        self._inputs = Inputs(job, images, model.spec.input.background)
        self._parameters = self._inputs.parameters
        self._taps = _taps(job, model)
        model.check_parameters(self._parameters)

    def all(self, checkpoint: Checkpoint) -> JobResult:
        """Run every item: start them in order, and wait for them in order."""
        underway: deque[_Underway] = deque()
        held_bytes = 0
        try:
            for item in self._job.items:
                checkpoint()
                underway.append(self._begin(item))
                held_bytes += underway[-1].image.nbytes
                while held_bytes > HELD_MAX_BYTES:
                    held_bytes -= self._finish_item(underway.popleft(), checkpoint)
            while underway:
                self._finish_item(underway.popleft(), checkpoint)
        finally:
            for each in underway:
                each.future.cancel()
        return self._results.finish()

    def _begin(self, item: InferItem) -> _Underway:
        """Decode and prepare an item, and submit it to the batcher."""
        image: Image = np.empty((0, 0, 3), np.uint8)
        try:
            image, info = self._inputs.image(item.image)
            arrays = self._model.preprocess(image, self._parameters)
            pixels = input_pixels(image, self._model.spec.input)
            request = Request(self._model, arrays, pixels, self._rank, self._taps)
            return _Underway(item, image, self._batcher.submit(request), info)
        except PassingError:
            raise
        except Exception as error:  # noqa: BLE001  only this item fails; _finish_item raises it again
            failed: Future[Outputs] = Future()
            failed.set_exception(error)
            return _Underway(item, image, failed)

    def _finish_item(self, entry: _Underway, checkpoint: Checkpoint) -> int:
        """Wait for an item's pass and add its result. Returns the bytes of its image."""
        name = entry.item.image.name
        try:
            output = self._await(entry.future, checkpoint)
            _check_finite(output)
            prediction = self._model.postprocess(output, entry.image, self._parameters)
            self._add(entry, prediction, output)
        except (PassingError, CancelledError):
            raise
        except AgewellError as error:
            self._results.add_error(error)
        except Exception as error:
            log.warning("model %s failed on %s", self._model.spec.id, name, exc_info=error)
            spec = self._model.spec
            self._results.add_error(InferenceError(name, spec.name, spec.version, _reason(error)))
        return entry.image.nbytes

    def _await(self, future: "Future[Outputs]", checkpoint: Checkpoint) -> Outputs:
        if future.done():
            return future.result()
        with self._batcher.waiting():
            while True:
                try:
                    return future.result(CHECK_S)
                except TimeoutError:
                    if future.done():
                        raise
                    checkpoint()

    def _add(self, entry: _Underway, prediction: Prediction, output: Outputs) -> None:
        spec, name = self._model.spec, entry.item.image.name
        data, pictures = encoded_pictures(prediction, self._job.output, name)
        named = {"image": name, "model": spec.name, "version": spec.version}
        result = ItemResult(prediction=prediction.values or None, info={**named, **entry.info})
        self._results.add(entry.item, result, data, [*pictures, *self._extras(entry, output)])

    def _extras(self, entry: _Underway, output: Outputs) -> list[Extra]:
        extras: list[Extra] = []
        for tap in self._taps:
            array = output[TAP + tap]
            picture = encode(heat_map(array, entry.image), "png", None, entry.item.image.name)
            extras.append((f".{tap}.npz", "application/x-npz", as_npz(tap, array)))
            extras.append((f".{tap}.png", "image/png", picture))
        return extras


def _taps(job: InferJob, model: Model) -> tuple[str, ...]:
    if job.tap is None:
        return ()
    points = model.tap_points()
    if job.tap not in points:
        shown = ", ".join(points[:20]) or "none"
        more = f" and {len(points) - 20} more" if len(points) > 20 else ""
        raise ParameterError("tap", job.tap, f"by {model.spec.id}: {shown}{more}")
    return (job.tap,)


def _check_finite(output: Mapping[str, npt.NDArray[Any]]) -> None:
    for name, array in output.items():
        if not name.startswith(TAP) and array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"output {name} has values that are not finite")


def _reason(error: Exception) -> str:
    if isinstance(error, OutOfMemoryError):
        return f"not enough memory, even for a batch of one: {error}"
    return f"{type(error).__name__}: {error}"
