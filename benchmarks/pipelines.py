"""Cost of a pipeline, compared with a chain of jobs that makes the same images.

Both run three operations on each image and send the same messages to the same workers. Between two
jobs of a chain, each image is encoded as PNG, stored, fetched and decoded. In a pipeline it stays
an array. They run in turns, and the results must be equal.
"""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from celery import chain

from agewell.shared.protocol.messages import ImageRef, PipelineItem, PipelineJob, Step
from agewell.shared.protocol.tasks import queue_of, task_of
from benchmarks.cost import Cost, in_turns, per_image_ms, ratios
from benchmarks.photos import make_images
from benchmarks.report import report
from benchmarks.whole_system import WholeSystem, whole_system

SIZE = (1920, 1080)
LOGO = (240, 80)
IMAGES = 32
IMAGES_PER_JOB = 4
TARGET = ">= 2.5"

Steps = Sequence[dict[str, Any]]
Photos = Sequence[tuple[str, bytes]]


def publishing(logo: ImageRef) -> Steps:
    """Return steps that prepare photos for a site: a size, a mark, and sharp edges."""
    return (
        {"op": "resize", "width": 1600},
        {"op": "watermark", "image": logo.model_dump(), "gravity": "southeast", "opacity": 0.4},
        {"op": "sharpen"},
    )


def turning(_logo: ImageRef) -> Steps:
    """Return steps that compute little."""
    return (
        {"op": "crop", "width": 1600, "height": 900},
        {"op": "flip"},
        {"op": "adjust", "contrast": 1.2},
    )


def run_pipeline(system: WholeSystem, photos: Photos, steps: Steps) -> tuple[Cost, list[str]]:
    """Run the steps as pipelines. Returns the cost and the hashes of the results."""
    watch, client = system.watch(), system.stack.client
    jobs = [
        PipelineJob(
            items=tuple(PipelineItem(image=each) for each in client.put(*some)),
            steps=tuple(Step(**each) for each in steps),
        )
        for some in _batches(photos)
    ]
    outcomes = system.wait(client.send_many(jobs))
    cost = watch.stop()
    return cost, [image.sha256 for outcome in outcomes for image in outcome.images]


def run_chain(system: WholeSystem, photos: Photos, steps: Steps) -> tuple[Cost, list[str]]:
    """Run the steps as chains of jobs. Returns the cost and the hashes of the results."""
    watch, client = system.watch(), system.stack.client
    app = client.session.app

    def send(first: dict[str, Any]) -> str:
        documents = ({**steps[0], **first}, *steps[1:])
        jobs = [
            app.signature(task_of(each["op"]), args=[each], queue=queue_of(each["op"]))
            for each in documents
        ]
        return str(chain(*jobs).apply_async().id)

    ids = []
    for some in _batches(photos):
        items = [{"image": each.model_dump()} for each in client.put(*some)]
        ids.append(send({"items": items}))
    outcomes = system.wait(ids)
    cost = watch.stop()
    return cost, [image.sha256 for outcome in outcomes for image in outcome.images]


def _batches(photos: Photos) -> list[Photos]:
    return [
        photos[first : first + IMAGES_PER_JOB] for first in range(0, len(photos), IMAGES_PER_JOB)
    ]


def compare(system: WholeSystem, name: str, photos: Photos, steps: Steps) -> dict[str, object]:
    """Measure one row: the same steps as pipelines and as chains."""
    results = {}

    def run(kind: str, way: Any) -> Cost:
        cost, results[kind] = way(system, photos, steps)
        return cost

    ways = {"pipeline": run_pipeline, "chain": run_chain}
    costs = in_turns({kind: partial(run, kind, way) for kind, way in ways.items()})
    assert results["pipeline"] == results["chain"]
    ours, theirs = costs["pipeline"], costs["chain"]
    chained = {f"chain {key}": value for key, value in per_image_ms(theirs, len(photos)).items()}
    return {
        "steps": name,
        **per_image_ms(ours, len(photos)),
        **chained,
        **ratios(ours, theirs),
        "target": TARGET,
    }


def main() -> None:
    """Measure steps that compute something, and steps that compute little."""
    with tempfile.TemporaryDirectory() as folder, whole_system() as system:
        photos = [
            (path.name, path.read_bytes()) for path in make_images(Path(folder), SIZE, IMAGES)
        ]
        (logo,) = system.stack.client.put(*make_images(Path(folder), LOGO, 1))
        rows = [
            compare(system, " | ".join(each["op"] for each in steps), photos, steps)
            for steps in (publishing(logo), turning(logo))
        ]
    report("pipelines", "A pipeline of three steps over a chain of three jobs", rows)


if __name__ == "__main__":
    main()
