"""How fast is the whole system, compared with a bare loop of the same work on the same cores?

The bare loop runs one process per core. Each reads files, decodes, converts and encodes them with
OpenCV, without queue, checks or storage. The system does the same through `enqueue`, Redis, Celery
workers and the blob store, up to the record of the last result. They run in turns.
"""

import shutil
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from agewell.producer.receiving.collect import Collector
from agewell.producer.sending.listing import expand
from agewell.producer.sending.plan import Planned
from agewell.producer.sending.submit import Submitter
from agewell.producer.session import Session
from agewell.shared.protocol.built_in_jobs import HsvItem, HsvJob
from agewell.shared.setting_types import usable_cores
from agewell.testing import running_stack
from benchmarks.report import Spread, report

PHOTOS = Path(__file__).parent.parent / "examples" / "images"
ROUNDS = 5
SMALL = (256, 256)


def make_images(folder: Path, size: tuple[int, int], count: int) -> list[Path]:
    """Write different JPEGs of one size (width, height), cut from the example photos."""
    photos = [cv2.imread(str(path)) for path in sorted(PHOTOS.glob("*.jpg"))]
    random = np.random.default_rng(1)
    paths = []
    for number in range(count):
        photo = photos[number % len(photos)]
        height, width = photo.shape[:2]
        x, y = (int(random.integers(0, side // 4)) for side in (width, height))
        image = cv2.resize(photo[y:, x:], size, interpolation=cv2.INTER_CUBIC)
        paths.append(folder / f"{number:05}.jpg")
        cv2.imwrite(str(paths[-1]), image, [cv2.IMWRITE_JPEG_QUALITY, 92])
    return paths


def work_barely(path: Path) -> int:
    """Read, decode, convert and encode a file, and nothing more. Returns the size in bytes."""
    cv2.setNumThreads(1)
    image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    ok, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_BGR2HSV))
    return len(data) if ok else 0


def time_bare(pool: ProcessPoolExecutor, paths: list[Path]) -> float:
    """Measure the images per second of the bare loop."""
    started = time.perf_counter()
    chunk = max(1, len(paths) // (8 * usable_cores()))
    assert all(pool.map(work_barely, paths, chunksize=chunk))
    return len(paths) / (time.perf_counter() - started)


def _empty(blobs: Path) -> None:
    """Delete every blob, but keep the file by which agewell recognises the store."""
    for each in blobs.glob("*"):
        if each.is_dir():
            shutil.rmtree(each)


def time_system(session: Session, blobs: Path, folder: Path, count: int) -> float:
    """Measure the images per second from the first file read to the last result received."""
    _empty(blobs)  # stored blobs would not be written again
    started = time.perf_counter()
    submitter = Submitter(
        session,
        make_job=lambda refs: HsvJob(items=tuple(HsvItem(**each) for each in refs)),
        level=5,
    )
    files = islice(expand([str(folder)]), count)
    sent = list(submitter.submit((Planned({"image": file}) for file in files), None))
    collector = Collector(session.app, session.client, session.settings)
    done = sum(len(each.items) for each in collector.outcomes(job.job_id for job in sent))
    assert done == count
    return count / (time.perf_counter() - started)


def compare(pool: str, size: tuple[int, int], count: int) -> dict[str, object]:
    """Measure one row: a pool and a size of image, in turns with the bare loop."""
    with (
        tempfile.TemporaryDirectory() as images,
        running_stack(pool=pool) as stack,
        ProcessPoolExecutor(usable_cores(), mp_context=get_context("spawn")) as bare_pool,
    ):
        paths = make_images(Path(images), size, count)
        run_bare = partial(time_bare, bare_pool, paths)
        run_system = partial(
            time_system, stack.client.session, stack.state_dir / "blobs", Path(images), count
        )
        run_bare(), run_system()  # warm up
        pairs = [(run_system(), run_bare()) for _ in range(ROUNDS)]
    return {
        "images": f"{size[0]} x {size[1]}",
        "pool": pool,
        "system, images/s": Spread(tuple(system for system, _ in pairs)),
        "bare loop, images/s": Spread(tuple(bare for _, bare in pairs)),
        "ratio": Spread(tuple(system / bare for system, bare in pairs)),
        "with lists": "0.75" if size == SMALL else "-",
        "target": ">= 0.85" if size == SMALL else "-",
    }


def main() -> None:
    """Measure both sizes with both pools."""
    sizes = [((1920, 1080), 100), (SMALL, 2000)]
    rows = [compare(pool, size, count) for size, count in sizes for pool in ("prefork", "threads")]
    report("system", "HSV, JPEG in, PNG out: the whole system over a bare loop", rows)


if __name__ == "__main__":
    main()
