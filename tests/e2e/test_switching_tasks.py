"""Jobs of three models of different tasks, two of them switched while the jobs flow."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from agewell.producer.sending.model_commands import Models
from agewell.producer.sending.publish import publish
from agewell.producer.session import Session
from agewell.shared.protocol.messages import ImageRef, InferItem, InferJob
from tests.support.detectors import COLOURS, blob_detector
from tests.support.model_files import CLASSES, marking, onnx_classifier
from tests.support.stack import Stack, started, state_directory
from tests.support.watched import get

MARKS = {"1": 11, "2": 22}
SIDE = 64
IMAGES = 16
JOBS, SWITCHES = 2000, 50
PASS_S = 0.05
"""The time of a pass of the two models that are switched, whatever the size of its batch. The rest
of a job's work takes less, so jobs wait for a pass even if other processes take the cores."""
PATIENCE_S = 240.0


@dataclass(frozen=True)
class Shown:
    """An image, and the answers that it must get."""

    ref: ImageRef
    colour: str
    box: list[float]
    brightness: str


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Memory for one version of each switched model, so that each switch drops one."""
    root = tmp_path_factory.mktemp("models")
    for version, mark in MARKS.items():
        options = {"mark": mark, "ballast": 5_000_000, "pass_s": PASS_S}  # 20 MB
        marking(root, "mark", version, mark=mark, entry_options=options, max_batch_size=8)
        names = [f"{colour} of {version}" for colour in COLOURS]
        blob_detector(
            root, "blobs", version, labels=names, entry_options={"pass_s": PASS_S}, max_batch_size=8
        )
    onnx_classifier(root, max_batch_size=8)
    settings = {
        "MODELS_DIR": root,
        "MODELS_MEMORY_BYTES": 30_000_000,
        "CONCURRENCY": 1,
        "METRICS_PORT": 0,
    }
    with state_directory() as folder, started(folder, **settings) as running:
        yield running
        running.stop()


def shown_images(session: Session) -> list[Shown]:
    """Store images of one bright rectangle each, half of them on a bright gray."""
    draw = random.Random(5)
    made = []
    for number in range(IMAGES):
        channel, gray = draw.randrange(3), (0, 150)[number % 2]
        x0, y0 = draw.randrange(0, 24), draw.randrange(0, 24)
        x1, y1 = x0 + draw.randrange(16, 40), y0 + draw.randrange(16, 40)
        pixels = np.full((SIDE, SIDE, 3), gray, np.uint8)
        pixels[y0:y1, x0:x1] = 0
        pixels[y0:y1, x0:x1, 2 - channel] = 255  # BGR
        data = cv2.imencode(".png", pixels)[1].tobytes()
        [ref] = session.blobs.put([(f"{number}.png", "image/png", data)])
        brightness = CLASSES[int(pixels.mean() > 255 / 2)]
        made.append(Shown(ref, COLOURS[channel], [x0, y0, x1, y1], brightness))
    return made


def check_answer(stack: Stack, model: str, shown: Shown, item: dict[str, Any]) -> None:
    """The answer is that of the version that its result names, and for this image."""
    version = item["info"]["version"]
    assert (item["info"]["model"], item["info"]["image"]) == (model, shown.ref.name)
    if model == "mark":
        sha256 = item["image"]["sha256"]
        root = Path(stack.running.blob_url.removeprefix("file://"))
        assert np.unique(cv2.imread(str(root / sha256[:2] / sha256))).tolist() == [MARKS[version]]
    elif model == "blobs":
        [found] = item["prediction"]["boxes"]
        assert found["label"] == f"{shown.colour} of {version}"
        assert found["box"] == pytest.approx(shown.box, abs=0.01)
    else:
        assert item["prediction"]["classes"][0]["label"] == shown.brightness


def batches(stack: Stack) -> dict[str, float]:
    """The mean number of images in a pass of each model, as the metrics count them."""
    sums: dict[str, float] = {}
    counts: dict[str, float] = {}
    for line in get(stack.running.metrics_url, None).text.splitlines():
        name, _, rest = line.partition("{")
        if name in ("agewell_batch_items_sum", "agewell_batch_items_count"):
            model = rest.partition('model="')[2].partition('"')[0]
            (sums if name.endswith("sum") else counts)[model] = float(line.rpartition(" ")[2])
    return {model: sums[model] / counts[model] for model in counts if counts[model]}


@pytest.mark.slow
def test_three_tasks_share_a_worker_while_two_models_switch(stack):
    session = stack.client.session
    images, models = shown_images(session), Models(session)
    draw, sent = random.Random(6), []
    switched = itertools.cycle([("mark", "2"), ("blobs", "2"), ("mark", "1"), ("blobs", "1")])
    for _ in range(SWITCHES):
        asked = [
            (model, draw.choice(images))
            for model in ("mark", "blobs", "light") * (JOBS // SWITCHES // 3 + 1)
        ][: JOBS // SWITCHES]
        jobs = [InferJob(items=(InferItem(image=each.ref),), model=model) for model, each in asked]
        sent += zip(publish(session, jobs, 5), asked, strict=True)
        replies = models.activate(*next(switched), PATIENCE_S)
        assert [reply.error for reply in replies] == [None]
    assert len(sent) == JOBS
    records = stack.wait_ended([each.job_id for each, _ in sent], PATIENCE_S)
    assert {record["state"] for record in records} == {"done"}
    versions = set()
    for job, (model, shown) in sent:
        [item] = stack.celery.backend.get_result(job.job_id)["items"]
        check_answer(stack, model, shown, item)
        versions.add((model, item["info"]["version"]))
    assert versions == {
        ("mark", "1"),
        ("mark", "2"),
        ("blobs", "1"),
        ("blobs", "2"),
        ("light", "1"),
    }
    full = batches(stack)
    # Of at most 8. About 7 on two cores, busy or not.
    assert min(mean for model, mean in full.items() if not model.startswith("light")) > 2.5, full
