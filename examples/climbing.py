"""Draw docs/images/climbing.svg: bulk jobs that climb while they wait, from a real run.

    python examples/climbing.py                                  # runs for half a minute, and draws
    python examples/climbing.py --samples docs/images/climbing.json   # draws an earlier run again

The run: one worker, and a level every two seconds (k = 0.5 per second). Six normal jobs wait at all
times, so bulk jobs would never start if levels were strict. An urgent job comes now and then.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

from agewell import Client, HsvItem, HsvJob
from agewell.testing import running_stack

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
PHOTO = ROOT / "examples" / "images" / "morskie-oko.jpg"

K_PER_S = 0.5
JOB_S = 0.45
NORMAL_WAITING = 6
BULK_JOBS = 14
BULK_EVERY_S = 0.9
URGENT_EVERY_S = 4.0
RUN_MOST_S = 90.0
LOOK_S = 0.05
NEVER_S = 1e6

WIDTH, HEIGHT = 820, 404
LEFT, TOP, ROW, SLOT = 128, 58, 30, 22
WORKER_X, WORKER_Y = 700, 193
MOVE_S = 0.25
LEVEL_NAMES = {0: "urgent", 2: "high", 5: "normal", 7: "low", 9: "bulk"}
COLOURS = {0: "#cc3311", 5: "#4477aa", 9: "#e69f00"}


@dataclass(frozen=True)
class Job:
    """One job of the run; times are in seconds since the run began; NEVER_S if it never came."""

    level: int
    enqueued_s: float
    started_s: float
    ended_s: float


def record() -> list[Job]:
    """Run a stack, send jobs until every bulk job has ended, and read when each one started."""
    with running_stack(concurrency=1, aging_k=K_PER_S) as stack:
        job = _job_of(stack.client, JOB_S)
        sent = _send(stack.client, job)
        records = [stack.client.status(job_id) for job_id in sent]
    began = min(each.enqueued_at for each in records if each and each.enqueued_at)

    def since(at: float | None) -> float:
        return NEVER_S if at is None else round(at - began, 3)

    return [
        Job(each.level, since(each.enqueued_at), since(each.started_at), since(each.ended_at))
        for each in records
        if each and each.level is not None
    ]


def _job_of(client: Client, seconds: float) -> HsvJob:
    """A job that takes about this long."""
    (photo,) = client.put(PHOTO)
    few = HsvJob(items=(HsvItem(image=photo),) * 4)
    took = 0.0
    for _ in range(3):  # the first one compiles and imports
        done = client.status(client.wait(client.send(few)).job_id)
        if done and done.started_at and done.ended_at:
            took = done.ended_at - done.started_at
    count = min(64, max(1, round(seconds / max(took / 4, 0.001))))
    return HsvJob(items=(HsvItem(image=photo),) * count)


def _send(client: Client, job: HsvJob) -> list[str]:
    """Send jobs until every bulk job has ended; the ids of all of them.

    Raises:
        TimeoutError: the bulk jobs take too long.
    """
    sent: list[str] = []
    normal_waiting: list[str] = []
    bulk: list[str] = []
    bulk_open: list[str] = []
    urgent = 0
    began = time.monotonic()
    while len(bulk) < BULK_JOBS or bulk_open:
        passed = time.monotonic() - began
        if passed > RUN_MOST_S:
            raise TimeoutError(f"{len(bulk_open)} bulk jobs have not ended in {RUN_MOST_S:g} s")
        normal_waiting = [each for each in normal_waiting if not _has_started(client, each)]
        for _ in range(NORMAL_WAITING - len(normal_waiting)):
            normal_waiting.append(client.send(job, priority="normal"))
            sent.append(normal_waiting[-1])
        if len(bulk) < min(BULK_JOBS, 1 + passed / BULK_EVERY_S):
            bulk.append(client.send(job, priority="bulk"))
            bulk_open.append(bulk[-1])
        if urgent < passed // URGENT_EVERY_S:
            sent.append(client.send(job, priority="urgent"))
            urgent += 1
        bulk_open = [each for each in bulk_open if not _has_ended(client, each)]
        time.sleep(LOOK_S)
    return [*sent, *bulk]


def _has_started(client: Client, job_id: str) -> bool:
    record = client.status(job_id)
    return record is not None and record.started_at is not None


def _has_ended(client: Client, job_id: str) -> bool:
    record = client.status(job_id)
    return record is not None and record.state.ended


def draw(jobs: Sequence[Job]) -> str:
    """An animated SVG: each job is a dot, in the row of the level that it has climbed to."""
    length_s = max(job.ended_s for job in jobs if job.level == max(COLOURS)) + 1.0
    shown = sorted(jobs, key=lambda job: job.enqueued_s)
    dots = [_dot(job, slot, length_s) for job, slot in zip(shown, _slots(shown), strict=True)]
    return "\n".join([*_frame(length_s), *dots, "</svg>"]) + "\n"


def _slots(jobs: Sequence[Job]) -> Iterator[int]:
    """A column for each job: the first one that no waiting job is in. Jobs come by their times."""
    free_at: list[float] = []
    for job in jobs:
        slot = next((i for i, at in enumerate(free_at) if at <= job.enqueued_s), len(free_at))
        free_at[slot : slot + 1] = [job.started_s + MOVE_S]
        yield slot


def _dot(job: Job, slot: int, length_s: float) -> str:
    x = LEFT + SLOT * slot
    waits_s = min(job.started_s, length_s) - job.enqueued_s
    levels = [max(0, job.level - climbed) for climbed in range(int(waits_s * K_PER_S) + 1)]
    places = [(job.enqueued_s, _y(job.level))]
    for climbed, (before, after) in enumerate(pairwise(levels), start=1):
        at = job.enqueued_s + climbed / K_PER_S
        places += [(at, _y(before)), (min(at + MOVE_S, job.started_s), _y(after))]
    places.append((job.started_s, _y(levels[-1])))
    there = job.started_s + MOVE_S
    rows = [*places, (there, WORKER_Y)]
    columns = [(job.started_s, x), (there, WORKER_X)]
    seen = [(job.enqueued_s, 0), (job.enqueued_s + 0.05, 1)]
    seen += [(max(there, job.ended_s), 1), (max(there, job.ended_s) + 0.1, 0)]
    radius = 9 if job.level == 0 else 7
    return (
        f'<circle r="{radius}" cx="{x}" cy="{_y(job.level)}" opacity="0" class="l{job.level}">'
        f"{_animate('cy', rows, length_s)}{_animate('cx', columns, length_s)}"
        f"{_animate('opacity', seen, length_s)}</circle>"
    )


def _animate(name: str, places: Sequence[tuple[float, float]], length_s: float) -> str:
    """One attribute over the whole picture; places are (time in s, value), and times may repeat."""
    whole = [(0.0, places[0][1]), *places, (length_s, places[-1][1])]
    times: list[float] = []
    for at, _ in whole:
        times.append(max(min(at / length_s, 1.0), times[-1] if times else 0.0))
    return (
        f'<animate attributeName="{name}" dur="{length_s:.1f}s" repeatCount="indefinite"'
        f' keyTimes="{";".join(f"{at:.4f}" for at in times)}"'
        f' values="{";".join(f"{value:g}" for _, value in whole)}"/>'
    )


def _y(level: int) -> int:
    return TOP + ROW * level


def _frame(length_s: float) -> Iterator[str]:
    """Everything that stands still, and the bar of the time."""
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        ' aria-label="Bulk jobs climb level by level while urgent and normal jobs go first">'
    )
    yield "<style>"
    yield "text{font:14px system-ui,sans-serif;fill:#555}.row{stroke:#8884}.box{fill:#8882}"
    yield from (f".l{level}{{fill:{colour}}}" for level, colour in COLOURS.items())
    yield "@media(prefers-color-scheme:dark){text{fill:#bbb}}</style>"
    for at, level in enumerate(COLOURS):
        yield f'<circle r="7" cx="{LEFT + 130 * at}" cy="22" class="l{level}"/>'
        yield f'<text x="{LEFT + 14 + 130 * at}" y="27">sent as {LEVEL_NAMES[level]}</text>'
    for level in range(10):
        label = f"{level} {LEVEL_NAMES.get(level, '')}".strip()
        yield f'<text x="16" y="{_y(level) + 5}">{label}</text>'
        yield (
            f'<line class="row" x1="{LEFT - 18}" x2="{WORKER_X - 70}"'
            f' y1="{_y(level) + 12}" y2="{_y(level) + 12}"/>'
        )
    yield (
        f'<rect class="box" x="{WORKER_X - 40}" y="{WORKER_Y - 40}"'
        ' width="80" height="80" rx="12"/>'
    )
    yield f'<text x="{WORKER_X}" y="{WORKER_Y + 62}" text-anchor="middle">the worker</text>'
    yield f'<text x="16" y="{HEIGHT - 12}">time</text>'
    yield f'<rect class="box" x="{LEFT - 18}" y="{HEIGHT - 20}" width="520" height="6" rx="3"/>'
    yield (
        f'<rect class="l5" x="{LEFT - 18}" y="{HEIGHT - 20}" width="0" height="6" rx="3">'
        f'<animate attributeName="width" from="0" to="520" dur="{length_s:.1f}s"'
        ' repeatCount="indefinite"/></rect>'
    )
    yield f'<text x="{LEFT + 514}" y="{HEIGHT - 12}">{length_s:.0f} s</text>'


def main() -> None:
    """Record a run, or read an earlier one, and draw it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--samples", type=Path, help="draw this run instead of a new one")
    parser.add_argument("--out", type=Path, default=IMAGES / "climbing.svg")
    arguments = parser.parse_args()
    if arguments.samples is None:
        jobs = record()
        text = json.dumps([asdict(job) for job in jobs])
        arguments.out.with_suffix(".json").write_text(text.replace("}, ", "},\n ") + "\n")
    else:
        jobs = [Job(**each) for each in json.loads(arguments.samples.read_text())]
    arguments.out.write_text(draw(jobs))
    print(f"{len(jobs)} jobs: {arguments.out}")


if __name__ == "__main__":
    main()
