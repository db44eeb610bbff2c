"""Lets a fault strike a busy stack, and counts what became of the jobs."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.chaos.faults import Fault
from tests.chaos.scene import Scene, Stream, scene
from tests.e2e.stack import until

PROGRESS_S = 120.0


@dataclass(frozen=True)
class Row:
    """What a fault did."""

    fault: str
    times: int
    jobs: int
    """Acknowledged to the producer."""
    lost: int
    """Of those, how many never ended."""
    ended_twice: int
    """Ends that an outsider saw more than once."""
    refused: int
    """Calls of the producer that ended in an error."""
    slowest_recovery_s: float
    """From a strike's end until the jobs that ran when it struck had all ended, the longest."""

    def harmless(self) -> bool:
        return self.lost == 0 and self.ended_twice == 0


def run(fault: Fault, *, long: bool) -> Row:
    """A fresh stack, a stream of jobs, and the fault so many times."""
    jobs = fault.long_jobs if long else fault.jobs
    times = fault.long_times if long else fault.times
    with scene(fault.broker, **fault.settings) as stage, ThreadPoolExecutor(1) as pool:
        source = Stream(stage, jobs)
        stream = pool.submit(source.run)
        try:
            strikes = [_strike(stage, fault, jobs * (n + 1) // (times + 2)) for n in range(times)]
            stream.result(PROGRESS_S * (1 + jobs / 1000))
        finally:
            source.stop()
        lost = stage.wait_all()
        slowest = [
            (stage.ended_at(job_id) or over_at) - over_at
            for over_at, held in strikes
            for job_id in held
        ]
        return Row(
            fault=fault.name,
            times=times,
            jobs=len(stage.acknowledged),
            lost=len(lost),
            ended_twice=len(stage.observer.twice()),
            refused=stage.refused,
            slowest_recovery_s=max([0.0, *slowest]),
        )


def _strike(stage: Scene, fault: Fault, after: int) -> tuple[float, list[str]]:
    """Strike when so many jobs have ended and some run; when it was over, and what ran then."""
    until(
        lambda: len(stage.acknowledged) - len(stage.unended()) >= after,
        PROGRESS_S,
        lambda: f"{after} jobs end: {stage.stack.said}",
    )
    held = until(stage.running, PROGRESS_S, lambda: "a job runs")
    fault.strike(stage)
    return time.monotonic(), held


def table(rows: list[Row]) -> str:
    """The rows as a table in Markdown."""
    heads = ["fault", "times", "jobs", "lost", "ended twice", "refused", "slowest recovery"]
    lines = ["| " + " | ".join(heads) + " |", "| --- |" + " ---: |" * 6]
    for row in rows:
        cells = [row.fault, row.times, f"{row.jobs:,}", row.lost, row.ended_twice, row.refused]
        lines.append(f"| {' | '.join(map(str, cells))} | {row.slowest_recovery_s:.1f} s |")
    return "\n".join(lines)
