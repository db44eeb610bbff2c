"""How should image operations and models share the cores of one machine under `agewell up`?

CV jobs (HSV of a photo) and infer jobs (ResNet-50 in float32) run for some seconds, each kind alone
and both at once, with several splits of the cores. It measures the rates, and the 95th percentiles
of the time from enqueueing to the end. The rounds of all splits follow each other.
"""

import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np

from agewell.producer.sending.model_commands import Models
from agewell.producer.sending.publish import publish
from agewell.producer.session import Session
from agewell.shared.cores import usable_cores
from agewell.shared.protocol.built_in_jobs import HsvItem, HsvJob
from agewell.shared.protocol.messages import ImageRef, InferItem, InferJob, Job
from agewell.testing import running_stack
from benchmarks.model_files import resnet50
from benchmarks.models import done_of
from benchmarks.photos import make_images
from benchmarks.report import Spread, report

ROUNDS = 3
RUN_S = 8.0
IN_FLIGHT = 8
PHOTOS = 16
POLL_S = 0.005

MakeJob = Callable[[ImageRef], Job]
KINDS: dict[str, MakeJob] = {
    "cv": lambda ref: HsvJob(items=(HsvItem(image=ref),)),
    "infer": lambda ref: InferJob(items=(InferItem(image=ref),), model="resnet50"),
}


@dataclass(frozen=True)
class Split:
    """The settings of one split of the cores."""

    concurrency: int  # jobs of the cv worker
    infer_threads: int  # of one pass
    waiting: str  # OMP_WAIT_POLICY: threads of OpenMP spin (active) or sleep (passive)


def splits(cores: int) -> list[Split]:
    """Return the splits to compare: all cores for both, and half for each."""
    half = max(1, cores // 2)
    return [
        Split(cores, cores, "active"),
        Split(cores, cores, "passive"),
        Split(cores, half, "passive"),
        Split(half, half, "passive"),
    ]


def keep_in_flight(session: Session, images: list[ImageRef], make: MakeJob) -> tuple[float, float]:
    """Keep jobs in flight for a while. Returns jobs per second, and p95 in ms of their times."""
    refs, pending, done = cycle(images), set[str](), list[str]()
    started = time.perf_counter()
    while time.perf_counter() - started < RUN_S:
        new = [make(next(refs)) for _ in range(IN_FLIGHT - len(pending))]
        if new:
            pending |= {each.job_id for each in publish(session, new, 5)}
        time.sleep(POLL_S)
        ended = done_of(session, list(pending))
        pending -= ended
        done += ended
    rate = len(done) / (time.perf_counter() - started)
    while pending:
        time.sleep(POLL_S)
        pending -= done_of(session, list(pending))
    entries = [session.ledger.get(each) for each in done]
    times = [e.ended_at - e.enqueued_at for e in entries if e and e.ended_at and e.enqueued_at]
    return rate, 1000 * float(np.percentile(times, 95))


def measure(split: Split, models: Path, photos: list[Path]) -> dict[str, tuple[float, float]]:
    """Run each kind alone and both at once on a stack of its own."""
    os.environ["OMP_WAIT_POLICY"] = split.waiting  # the stack inherits it
    settings = {"concurrency": split.concurrency, "infer_threads": split.infer_threads}
    with running_stack(models_dir=models, **settings) as stack, ThreadPoolExecutor(2) as pool:
        session = stack.client.session
        assert all(r.error is None for r in Models(session).activate("resnet50", "1", 600))
        files = [(path.name, "image/jpeg", path.read_bytes()) for path in photos]
        images = session.blobs.put(files)
        found = {
            f"{kind} alone": keep_in_flight(session, images, make) for kind, make in KINDS.items()
        }
        both = {
            kind: pool.submit(keep_in_flight, session, images, make) for kind, make in KINDS.items()
        }
        return found | {f"{kind} beside": each.result() for kind, each in both.items()}


def main() -> None:
    """Measure all splits, round by round."""
    found: dict[Split, list[dict[str, tuple[float, float]]]] = {}
    with tempfile.TemporaryDirectory() as root, tempfile.TemporaryDirectory() as folder:
        resnet50(Path(root))
        photos = make_images(Path(folder), (1280, 853), PHOTOS)
        for _ in range(ROUNDS):
            for split in splits(usable_cores()):
                found.setdefault(split, []).append(measure(split, Path(root), photos))
    rows = [
        {
            "cv jobs": split.concurrency,
            "infer threads": split.infer_threads,
            "waiting": split.waiting,
            "load": load,
            "jobs/s": Spread(tuple(each[load][0] for each in rounds)),
            "p95, ms": Spread(tuple(each[load][1] for each in rounds)),
        }
        for split, rounds in found.items()
        for load in rounds[0]
    ]
    title = f"CV and infer workers on {usable_cores()} cores, {IN_FLIGHT} jobs of each in flight"
    report("mixed_load", title, rows)


if __name__ == "__main__":
    main()
