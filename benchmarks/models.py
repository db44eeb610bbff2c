"""How much faster is batching across jobs, and how much slower is the queue than a bare loop?

It measures three ratios, each within one run:

- A version that batches, compared with one that does not. The model is an MLP of 4096 x 4096
  layers, whose weights take longer to read than to use. 32 jobs of one image are in flight.
  Throughput and the 95th percentile of the time from enqueueing to the end are measured.
- Images through the queue, compared with a bare loop, with ResNet-50 in float32 on the CPU. The
  bare loop is one process that reads, decodes and prepares 16 images, runs them in one pass, and
  takes the next 16.
- The batcher alone with prepared inputs, compared with the network's passes on the same batches,
  on the CPU, and with ResNet-50 in bfloat16 on the GPU if there is one.
"""

import tempfile
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from agewell.producer.receiving.collect import Collector
from agewell.producer.sending.listing import expand
from agewell.producer.sending.model_commands import Models
from agewell.producer.sending.plan import Planned
from agewell.producer.sending.publish import publish
from agewell.producer.sending.submit import Submitter
from agewell.producer.session import Session
from agewell.shared.cores import usable_cores
from agewell.shared.protocol.messages import ImageRef, InferItem, InferJob
from agewell.shared.redis import keys
from agewell.testing import running_stack
from agewell.workers.imaging.codec import Limits, decode
from agewell.workers.inference.batching.batcher import Batcher
from agewell.workers.inference.batching.queue import Request
from agewell.workers.models import device
from agewell.workers.models.load import load_model
from agewell.workers.models.model import Model
from benchmarks.model_files import resnet50, wide_network
from benchmarks.photos import make_images
from benchmarks.report import Spread, report

ROUNDS = 3
IN_FLIGHT = 32
WIDE_JOBS = 320
PHOTOS = 96
BATCH = 16
POLL_S = 0.002

Row = dict[str, object]


def row(question: str, model: str, ours: Any, other: Any, ratio: Any, p95: str = "-") -> Row:
    """Make a row of the report."""
    return {
        "ratio of": question,
        "model": model,
        "first, images/s": ours,
        "second, images/s": other,
        "ratio": ratio,
        "p95, ms": p95,
    }


def small_images(session: Session, count: int) -> list[ImageRef]:
    """Store random PNG images of 16 x 16 pixels."""
    random = np.random.default_rng(1)
    pictures = [random.integers(0, 256, (16, 16, 3), np.uint8) for _ in range(count)]
    encoded = [cv2.imencode(".png", picture)[1].tobytes() for picture in pictures]
    return session.blobs.put((f"{n}.png", "image/png", data) for n, data in enumerate(encoded))


def keep_in_flight(session: Session, jobs: list[InferJob]) -> tuple[float, float]:
    """Keep 32 jobs in flight until all are done.

    Returns jobs per second, and the 95th percentile of their times in seconds.
    """
    todo, ids = deque(jobs), []
    pending: set[str] = set()
    started = time.perf_counter()
    while todo or pending:
        free = min(IN_FLIGHT - len(pending), len(todo))
        if free:
            sent = publish(session, [todo.popleft() for _ in range(free)], 5)
            pending |= {each.job_id for each in sent}
            ids += [each.job_id for each in sent]
        time.sleep(POLL_S)
        pending -= done_of(session, list(pending))
    rate = len(jobs) / (time.perf_counter() - started)
    entries = [session.ledger.get(each) for each in ids]
    waits = [e.ended_at - e.enqueued_at for e in entries if e and e.ended_at and e.enqueued_at]
    assert len(waits) == len(jobs)
    return rate, float(np.percentile(waits, 95))


def done_of(session: Session, ids: list[str]) -> set[str]:
    """Return the ids of the jobs that are done. None may have failed."""
    pipe = session.client.pipeline(transaction=False)
    for each in ids:
        pipe.hget(keys.job(each), "state")
    states = dict(zip(ids, pipe.execute(), strict=True))
    assert b"failed" not in states.values()
    return {each for each, state in states.items() if state == b"done"}


def batching_pays() -> Row:
    """Measure a version that batches, compared with one that does not."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        wide_network(root, "batched", IN_FLIGHT)
        wide_network(root, "single", 1)
        with running_stack(models_dir=root) as stack:
            session = stack.client.session
            models = Models(session)
            images = small_images(session, WIDE_JOBS)
            found: dict[str, list[tuple[float, float]]] = {"batched": [], "single": []}
            for version in found:
                assert all(r.error is None for r in models.activate("wide", version, 600))
            for _ in range(ROUNDS):
                for version, measured in found.items():
                    item = (InferItem(image=each) for each in images)
                    jobs = [InferJob(items=(each,), model="wide", version=version) for each in item]
                    measured.append(keep_in_flight(session, jobs))
    batched, single = found["batched"], found["single"]
    ratios = Spread(tuple(a[0] / b[0] for a, b in zip(batched, single, strict=True)))
    p95 = [Spread(tuple(1000 * each[1] for each in side)) for side in (batched, single)]
    rates = [Spread(tuple(each[0] for each in side)) for side in (batched, single)]
    title = "batched over unbatched, through the queue"
    return row(title, "wide MLP, CPU", *rates, ratios, f"{p95[0]} / {p95[1]}")


def bare_loop(model: Model, paths: list[Path]) -> float:
    """Measure the images per second of one process that decodes and runs batch after batch."""
    started = time.perf_counter()
    for first in range(0, len(paths), BATCH):
        images = [decode(p.read_bytes(), p.name, Limits()) for p in paths[first : first + BATCH]]
        items = [model.preprocess(each, {}) for each in images]
        outputs = model.forward({"image": np.stack([each["image"] for each in items])})
        for number, image in enumerate(images):
            output = {name: array[number] for name, array in outputs.items()}
            assert model.postprocess(output, image, {}).values
    return len(paths) / (time.perf_counter() - started)


def through_the_queue(session: Session, folder: Path, count: int) -> float:
    """Measure the images per second from the first file read to the last result received."""
    started = time.perf_counter()
    submitter = Submitter(
        session,
        make_job=lambda refs: InferJob(
            items=tuple(InferItem(**each) for each in refs), model="resnet50"
        ),
        level=5,
    )
    sent = list(submitter.submit((Planned({"image": file}) for file in expand([str(folder)])), 8))
    collector = Collector(session.app, session.client, session.settings)
    outcomes = collector.outcomes(each.job_id for each in sent)
    items = [item for outcome in outcomes for item in outcome.items]
    assert [item.error for item in items] == [None] * count
    return count / (time.perf_counter() - started)


def queue_over_bare_loop() -> Row:
    """Measure images through the queue, compared with a bare loop."""
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as photos:
        root, folder = Path(name), Path(photos)
        directory = resnet50(root, max_batch_size=BATCH)
        paths = make_images(folder, (640, 480), PHOTOS)
        device.limit_threads(usable_cores())
        model = load_model(directory, torch.device("cpu"))
        with running_stack(models_dir=root) as stack:
            session = stack.client.session
            assert all(r.error is None for r in Models(session).activate("resnet50", "1", 600))
            bare_loop(model, paths[:BATCH]), through_the_queue(session, folder, PHOTOS)  # warm up
            pairs = [
                (through_the_queue(session, folder, PHOTOS), bare_loop(model, paths))
                for _ in range(ROUNDS)
            ]
    ours, bare = (Spread(tuple(side)) for side in zip(*pairs, strict=True))
    ratio = Spread(tuple(a / b for a, b in pairs))
    return row("queue path over a bare loop, with decoding", "ResNet-50, CPU", ours, bare, ratio)


def batcher_over_passes(on: torch.device, dtype: str, batch: int, passes: int) -> Row:
    """Measure the batcher with prepared inputs.

    Twice as many threads as items of a batch feed it.
    """
    with tempfile.TemporaryDirectory() as name:
        model = load_model(resnet50(Path(name), dtype=dtype, max_batch_size=batch), on)
    item = model.example()
    stacked = {key: np.stack([array] * batch) for key, array in item.items()}
    batcher = Batcher(prepare=lambda: device.limit_threads(usable_cores())).start()

    def one(_: int) -> None:
        with batcher.working():
            future = batcher.submit(Request(model, item, 224 * 224, (5, 0.0)))
            with batcher.waiting():
                future.result()

    def bare() -> float:
        started = time.perf_counter()
        for _ in range(passes):
            model.forward(stacked)
        return passes * batch / (time.perf_counter() - started)

    def batched() -> float:
        started = time.perf_counter()
        list(pool.map(one, range(passes * batch)))
        return passes * batch / (time.perf_counter() - started)

    with ThreadPoolExecutor(2 * batch) as pool:
        batched(), bare()  # warm up
        pairs = [(batched(), bare()) for _ in range(ROUNDS)]
    batcher.close()
    ours, raw = (Spread(tuple(side)) for side in zip(*pairs, strict=True))
    title = "batcher over the network's own passes, decoded beforehand"
    name_of_it = f"ResNet-50 {dtype}, {device.describe(on)}"
    return row(title, name_of_it, ours, raw, Spread(tuple(a / b for a, b in pairs)))


def main() -> None:
    """Measure the rows of the CPU, and those of the GPU if there is one."""
    rows = [
        batching_pays(),
        queue_over_bare_loop(),
        batcher_over_passes(torch.device("cpu"), "float32", BATCH, passes=8),
    ]
    if torch.cuda.is_available():
        rows.append(batcher_over_passes(device.choose_device(), "bfloat16", 64, passes=64))
    else:
        absent = "not measured"
        rows.append(row(str(rows[-1]["ratio of"]), "ResNet-50 bfloat16, GPU", *[absent] * 3))
    report("models", "Models: batches, and the queue's cost", rows)


if __name__ == "__main__":
    main()
