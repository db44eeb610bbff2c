"""How fast is the whole system, compared with a bare loop of the same work on the same cores?

Both convert JPEGs to HSV and encode them as PNG. The bare loop uses OpenCV with its defaults. The
system does it through `enqueue`, Redis, Celery workers and the blob store, up to the record of the
last result. Its processor time is that of the producer, of Redis, and of all programs of
`agewell up`, also those that have nothing to do with these jobs. They run in turns.

Every file of one run is decoded by OpenCV and by Pillow, and must have the pixels of the bare
loop's result.
"""

import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from agewell.producer.receiving.outcome import Outcome
from agewell.shared.protocol.built_in_jobs import HsvItem, HsvJob
from benchmarks.bare_loop import bare_loops, opencv_hsv
from benchmarks.cost import Cost, in_turns, per_image_ms, ratios
from benchmarks.photos import make_images
from benchmarks.report import report
from benchmarks.whole_system import WholeSystem, whole_system


@dataclass(frozen=True)
class Case:
    """One row: images of one size in jobs of one size."""

    size: tuple[int, int]
    images: int
    images_per_job: int | None
    """None: the producer chooses, by the size of the files."""
    target: str


CASES = (
    Case((1920, 1080), 64, None, ">= 1.5"),
    Case((256, 256), 1920, 64, ">= 1.0"),
)
POOLS = ("prefork", "threads")


def make_job(fields: Sequence[dict[str, object]]) -> HsvJob:
    """Make a job of the images of its items."""
    return HsvJob(items=tuple(HsvItem.model_validate(each) for each in fields))


def compare(pool: str, case: Case) -> dict[str, object]:
    """Measure one row: a pool and a size of image, in turns with the bare loop."""
    with (
        tempfile.TemporaryDirectory() as folder,
        bare_loops() as bare,
        whole_system(pool=pool) as system,
    ):
        paths = make_images(Path(folder), case.size, case.images)

        def run_system() -> Cost:
            return system.run(make_job, paths, case.images_per_job)[0]

        costs = in_turns({"system": run_system, "bare": lambda: bare.run(opencv_hsv, paths)})
        _, outcomes = system.run(make_job, paths, case.images_per_job)
        size = check_pixels(system, outcomes, paths)
    ours, theirs = costs["system"], costs["bare"]
    bare_columns = {f"bare {key}": value for key, value in per_image_ms(theirs, len(paths)).items()}
    return {
        "images": f"{case.size[0]} x {case.size[1]}",
        "pool": pool,
        "images a job": round(len(paths) / len(outcomes)),
        **per_image_ms(ours, len(paths)),
        **bare_columns,
        **ratios(ours, theirs),
        "target": case.target,
        "file size": size,
    }


def check_pixels(system: WholeSystem, outcomes: Sequence[Outcome], paths: Sequence[Path]) -> float:
    """Compare all results with the bare loop's. Returns their size over the bare loop's.

    Raises:
        AssertionError: the pixels differ, by OpenCV or by Pillow.
    """
    results = [image for outcome in outcomes for image in outcome.images]
    sizes = []
    for ref, path in zip(results, paths, strict=True):
        data, wanted = system.stack.client.read(ref), opencv_hsv(path.read_bytes())
        pixels = _decoded(wanted)
        assert np.array_equal(_decoded(data), pixels), path
        with Image.open(io.BytesIO(data)) as image:
            assert np.array_equal(np.asarray(image)[..., ::-1], pixels), path
        sizes.append((len(data), len(wanted)))
    ours, theirs = map(sum, zip(*sizes, strict=True))
    return ours / theirs


def _decoded(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def main() -> None:
    """Measure all sizes with both pools."""
    rows = [compare(pool, case) for case in CASES for pool in POOLS]
    report("system", "HSV, JPEG in, PNG out: the whole system over a bare loop of OpenCV", rows)


if __name__ == "__main__":
    main()
