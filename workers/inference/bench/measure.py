"""Measure one variant in a process of its own, so that its memory is counted alone.

The argument is a JSON object with the fields of `Task`. The result is one line of JSON on stdout.
"""

import dataclasses
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agewell.shared.errors import AgewellError, ModelError
from agewell.workers.imaging.image import Image
from agewell.workers.inference.batching.batcher import Batcher
from agewell.workers.inference.batching.queue import Request
from agewell.workers.inference.bench.figures import Agreed, Figures, Passes
from agewell.workers.models import device
from agewell.workers.models.agreement import agreement_for
from agewell.workers.models.arrays import Arrays
from agewell.workers.models.image_folder import open_folder
from agewell.workers.models.kinds.onnx_graph import OnnxGraph
from agewell.workers.models.load import load_model, make_model
from agewell.workers.models.model import Model

BATCHES = (1, 4, 16)
PHOTOS = 100
"""The agreement is measured on this many photos at most."""
NOISES = 8
_LEAST_PASSES, _MOST_PASSES = 5, 500


@dataclass(frozen=True)
class Task:
    """A variant to measure, and how."""

    directory: str
    reference: str
    changes: dict[str, Any]
    reference_changes: dict[str, Any]
    images: str | None  # a folder
    threads: int
    seconds: float  # for each batch size, and for the queue


def measure(task: Task, say: Callable[[str], None]) -> Figures:
    """Load the variant, and measure its speed, its memory and its agreement, in this order."""
    device.limit_threads(task.threads)
    on = device.choose_device()
    model = make_model(Path(task.directory), changes=task.changes)
    model.load(on)
    model.warmup()
    item = model.example()
    limit = largest_batch(model, item)
    batches = [_passes(model, item, each, task.seconds) for each in _sizes(limit)]
    rate = _saturated(model, item, limit, task)
    peak = _peak_bytes(model, on)
    return Figures(
        runs_on=model.runs_on(),
        threads=task.threads,
        batches=batches,
        queue_images_per_s=round(rate, 2),
        queue_batch=limit,
        weights_bytes=model.size_bytes(),
        peak_bytes=peak,
        agreement=_agreement(model, task, on, say),
        refused=_refused(model),
    )


def _refused(model: Model) -> str:
    """Return why a worker would refuse the variant, or ""."""
    try:
        model.verify()
    except ModelError as error:
        return error.reason
    return ""


def largest_batch(model: Model, item: Arrays) -> int:
    """Return the largest batch of this item that a worker runs: max_batch_size, max_pixels."""
    return max(1, min(model.spec.max_batch_size, model.spec.max_pixels // _pixels(item)))


def _pixels(item: Arrays) -> int:
    """Return the pixels of an item's pictures, (C, H, W), as they count for max_pixels."""
    sizes = [int(np.prod(array.shape[-2:])) for array in item.values() if array.ndim == 3]
    return max(sizes, default=1)


def _sizes(limit: int) -> list[int]:
    return sorted({min(each, limit) for each in BATCHES})


def _passes(model: Model, item: Arrays, count: int, seconds: float) -> Passes:
    """Time passes of one size. A batch is filled up to an allowed size, as a worker does."""
    size = model.spec.bucket(count)
    batch = {name: np.stack([array] * size) for name, array in item.items()}
    for _ in range(2):
        model.forward(batch)
    times: list[float] = []
    while len(times) < _LEAST_PASSES or (sum(times) < seconds and len(times) < _MOST_PASSES):
        begun = time.perf_counter()
        model.forward(batch)
        times.append(time.perf_counter() - begun)
    low, median, high = np.percentile(times, (25, 50, 75))
    return Passes(
        batch=count,
        ms=round(1e3 * float(median), 3),
        spread_ms=round(1e3 * float(high - low) / 2, 3),
        images_per_s=round(count / float(median), 2),
        passes=len(times),
    )


def _saturated(model: Model, item: Arrays, limit: int, task: Task) -> float:
    """Return the images per second of the batcher, fed by twice as many threads as a batch has."""
    batcher = Batcher(prepare=lambda: device.limit_threads(task.threads)).start()
    clock = time.perf_counter
    begun = clock()
    warm, ends = begun + task.seconds / 4, begun + 1.25 * task.seconds
    done: list[float] = []

    def feed(_: int) -> None:
        while clock() < ends:
            with batcher.working():
                future = batcher.submit(Request(model, item, _pixels(item), (5, 0.0)))
                with batcher.waiting():
                    future.result()
            done.append(clock())

    threads = min(2 * limit, 64)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(feed, range(threads)))
    batcher.close()
    counted = [each for each in done if each >= warm]
    return len(counted) / (max(counted) - warm) if counted else 0.0


def _peak_bytes(model: Model, on: torch.device) -> int:
    """Return the peak of the process's resident memory, or of torch's memory on a GPU.

    `resource.getrusage` would count the process that started this one too.
    """
    if on.type == "cuda" and not isinstance(model.network, OnnxGraph):
        return int(torch.cuda.max_memory_allocated(on))
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    return 0


def _agreement(model: Model, task: Task, on: torch.device, say: Callable[[str], None]) -> Agreed:
    reference = load_model(Path(task.reference), on, changes=task.reference_changes)
    agreement = agreement_for(model.spec.task)
    count = 0
    for image, item in _images(model, task, say):
        expected, found = (_outputs(each, item) for each in (reference, model))
        agreement.add(reference, image, expected, found)
        count += 1
    if count == 0:
        raise ValueError(f"{task.images}: no image in it can be read")
    return Agreed(
        agreement.title, agreement.unit, round(agreement.value(), 4), count, task.images is None
    )


def _outputs(model: Model, item: Arrays) -> Arrays:
    outputs = model.forward({name: array[None] for name, array in item.items()})
    return {name: array[0] for name, array in outputs.items()}


def _images(model: Model, task: Task, say: Callable[[str], None]) -> Iterator[tuple[Image, Arrays]]:
    """Return photos or noise, each with the network's input. All variants have the same input."""
    prepare = partial(_item, model)
    if task.images is not None:
        folder = open_folder(Path(task.images), say, model.spec.input.background)
        yield from itertools.islice(folder.prepare(folder.files, prepare), PHOTOS)
        return
    rng = np.random.default_rng(0)
    side = model.spec.input.warmup_side
    height, width = model.spec.input.size or (side, side)
    for _ in range(NOISES):
        noise = rng.integers(0, 256, (height, width, 3), np.uint8)
        yield noise, prepare(noise)


def _item(model: Model, image: Image) -> Arrays:
    return model.preprocess(image, model.sample_parameters(image))


def main() -> int:
    """Measure, and print the figures."""
    task = Task(**json.loads(sys.argv[1]))
    try:
        figures = measure(task, _say)
    except (AgewellError, ValueError) as error:
        _say(str(error))
        return 1
    print(json.dumps(dataclasses.asdict(figures)))  # noqa: T201
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
