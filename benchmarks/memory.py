"""Does a cv worker's resident memory stay constant over 5,000 mixed jobs?

The jobs run every operation, pipelines of three steps, and files that cannot be decoded, on images
of several sizes, drawn at random with a fixed seed. The resident memory of the worker and its pool
is sampled after every tenth result. The mean over the last 500 jobs is compared with the mean over
500 jobs at the quarter of the run, when every operation has run in every process.
"""

import os
import random
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from agewell.producer.client import Client
from agewell.shared.protocol.built_in import built_in_schemas
from agewell.shared.protocol.messages import ImageRef, Job, Output, PipelineItem, PipelineJob, Step
from agewell.shared.protocol.operations import ImageInput
from agewell.testing import running_stack
from benchmarks.photos import make_images
from benchmarks.report import report
from tests.support import bad_images

JOBS = 5000
SENT_AT_ONCE = 250
SAMPLED = 10  # every tenth result
WINDOW = 500  # jobs
SIZES = {(96, 64): 8, (256, 256): 8, (640, 480): 6, (1280, 853): 3, (1920, 1080): 2}
"""How many images of each size there are."""

MOST_ITEMS = 3
PIPELINES, BAD_FILES = 0.1, 0.1  # of all jobs
PARAMETERS: dict[str, dict[str, Any]] = {
    "adjust": {"gamma": 1.4, "saturation": 0.5},
    "alpha_blend": {"alpha": 0.5},
    "blur": {"sigma": 3},
    "crop": {"width": 60, "height": 60},
    "resize": {"width": 200},
    "rotate": {"angle": 20},
    "watermark": {"size": 0.5},
}
"""Parameters of operations that need some. The others run with their defaults."""

STEPS = (
    ({"op": "resize", "width": 320}, {"op": "blur", "sigma": 1}, {"op": "sharpen"}),
    ({"op": "rotate", "angle": 90}, {"op": "hsv"}, {"op": "flip"}),
    ({"op": "grayscale"}, {"op": "thumbnail", "size": 64}, {"op": "adjust", "gamma": 2}),
)
OUTPUTS = (Output(), Output(), Output(format="webp", quality=80))


@dataclass(frozen=True)
class Images:
    """Stored images to make jobs of."""

    good: Sequence[ImageRef]
    small: Sequence[ImageRef]
    """For operations with several images."""
    bad: Sequence[ImageRef]


def store_images(client: Client) -> Images:
    """Store photos, and files that cannot be decoded."""
    good: list[ImageRef] = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (size, count) in enumerate(SIZES.items()):
            below = Path(folder, str(number))
            below.mkdir()
            good += client.put(*make_images(below, size, count))
    # A client refuses some of these files, so they are stored as a plain Celery client does it.
    bad = client.session.blobs.put(
        (each.name, "image/png", each.data) for each in bad_images.REFUSED
    )
    return Images(good, good[: SIZES[96, 64]], bad)


def mixed_jobs(images: Images, client: Client) -> Iterator[Job]:
    """Yield the jobs, always the same ones."""
    draw = random.Random(1)
    operations = list(built_in_schemas())
    for _ in range(JOBS):
        count, output = draw.randint(1, MOST_ITEMS), draw.choice(OUTPUTS)
        photos = draw.choices(images.good, k=count)
        if draw.random() < BAD_FILES:
            photos[0] = draw.choice(images.bad)
        if draw.random() < PIPELINES:
            steps = tuple(Step(**each) for each in draw.choice(STEPS))
            items = tuple(PipelineItem(image=each) for each in photos)
            yield PipelineJob(items=items, steps=steps, output=output)
        else:
            yield _job(client, draw, draw.choice(operations), photos, images.small, output)


def _job(
    client: Client,
    draw: random.Random,
    op: str,
    photos: Sequence[ImageRef],
    small: Sequence[ImageRef],
    output: Output,
) -> Job:
    """Make a job of one operation."""
    first, *others = built_in_schemas()[op].inputs
    required = [each for each in others if each.required]

    def draw_images(inputs: Sequence[ImageInput]) -> dict[str, ImageRef]:
        return {each.name: draw.choice(small) for each in inputs}

    shared = draw_images([each for each in required if each.shared])
    of_items = [each for each in required if not each.shared]
    main = photos if not of_items else [draw.choice(small) for _ in photos]
    items = [{first.name: each, **draw_images(of_items)} for each in main]
    return client.job(op, items, output, **PARAMETERS.get(op, {}), **shared)


def cv_worker() -> psutil.Process:
    """Find the process that `agewell up` runs as the cv worker."""
    for process in psutil.Process(os.getpid()).children(recursive=True):
        if "agewell.workers.cv" in process.cmdline():
            return process
    raise RuntimeError("no cv worker runs")


def resident_mib(worker: psutil.Process) -> float:
    """Return the resident memory of a worker and its pool in MiB."""
    family = [worker, *worker.children(recursive=True)]
    return sum(process.memory_info().rss for process in family) / 2**20


def sample(client: Client) -> tuple[list[float], int]:
    """Run the jobs. Returns the worker's memory in MiB over the run, and how many jobs failed."""
    jobs = list(mixed_jobs(store_images(client), client))
    worker, samples, failed, ended = cv_worker(), [], 0, 0
    for first in range(0, len(jobs), SENT_AT_ONCE):
        ids = client.send_many(jobs[first : first + SENT_AT_ONCE])
        for outcome in client.outcomes(ids):
            ended += 1
            failed += bool(outcome.errors)
            if ended % SAMPLED == 0:
                samples.append(resident_mib(worker))
    return samples, failed


def _by_eighths(samples: Sequence[float]) -> str:
    """Return the means of each eighth of the run, to tell steady growth from one step."""
    size = len(samples) // 8
    means = (statistics.mean(samples[size * each : size * (each + 1)]) for each in range(8))
    return " ".join(f"{mean:.0f}" for mean in means)


def main() -> None:
    """Measure one run with each pool."""
    rows = []
    for pool in ("prefork", "threads"):
        with running_stack(pool=pool) as stack:
            samples, failed = sample(stack.client)
        window = WINDOW // SAMPLED
        quarter = len(samples) // 4
        early = statistics.mean(samples[quarter : quarter + window])
        late = statistics.mean(samples[-window:])
        rows.append(
            {
                "pool": pool,
                "jobs": JOBS,
                "with a bad file": failed,
                "MiB, at a quarter": early,
                "MiB, last 500": late,
                "by eighths": _by_eighths(samples),
                "largest": max(samples),
                "growth, %": 100 * (late / early - 1),
            }
        )
    report("memory", "Resident memory of the cv worker and its pool, over mixed jobs", rows)


if __name__ == "__main__":
    main()
