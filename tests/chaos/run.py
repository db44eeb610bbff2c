"""Lets a fault strike a busy stack, and counts the ends of its jobs."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

from tests.chaos.faults import Fault
from tests.chaos.scene import Scene, scene
from tests.chaos.stream import Stream
from tests.support.stack import until

PROGRESS_S = 120.0


@dataclass(frozen=True)
class Row:
    """The harm that a fault did."""

    fault: str
    times: int
    jobs: int
    """Acknowledged to the producer."""
    lost: int
    """Of those, how many never ended."""
    failed: int
    """How many ended, but not with a result: none of them gives cause to."""
    ended_twice: int
    """Ends that an outsider saw more than once."""
    crashed: int
    """Programs of the stack that ended of themselves, and not well: no fault asks that of them."""
    refused: int
    """Calls of the producer that ended in an error."""
    slowest_recovery_s: float
    """From a strike's end until the jobs that it struck had all ended, the longest. For a job that
    was struck twice it counts from the second time."""

    def harmless(self) -> bool:
        return self.lost == self.failed == self.ended_twice == self.crashed == 0


class Scenes:
    """Keeps one scene at a time, for as long as the next fault asks for the same."""

    def __init__(self) -> None:
        self._held = ExitStack()
        self._kind: object = None
        self._scene: Scene

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def run(self, fault: Fault, *, long: bool) -> Row:
        """Let a fault strike so many times while jobs stream by."""
        kind = (fault.broker, fault.stores_files, sorted(fault.settings.items()))
        if self._kind != kind:
            self._held.close()
            self._kind = None
            started = scene(fault.broker, stores_files=fault.stores_files, **fault.settings)
            self._scene = self._held.enter_context(started)
            self._kind = kind
        try:
            row = _run(self._scene, fault, long=long)
        except BaseException:
            self._kind = None  # nobody knows what is left of it
            raise
        self._scene.proxy.heal()
        if fault.spoils:
            self._kind = None
        return row


def _run(stage: Scene, fault: Fault, *, long: bool) -> Row:
    jobs = fault.long_jobs if long else fault.jobs
    times = fault.long_times if long else fault.times
    progress_s = PROGRESS_S * (1 + jobs / 1000)
    first, refused, crashed = len(stage.acknowledged), stage.refused, stage.crashed()
    source = Stream(stage, fault.work, first + jobs)
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(source.run)
        try:
            ends = [first + jobs * (n + 1) // (times + 2) for n in range(times)]
            strikes = [_strike(stage, fault, after, progress_s) for after in ends]
            source.struck()
            stream.result(progress_s)
        finally:
            source.stop()
    ours = set(stage.acknowledged[first:])
    lost = ours & set(stage.wait_all())
    struck_at = {job_id: over_at for over_at, held in strikes for job_id in held}
    slowest = [(stage.ended_at(each) or over_at) - over_at for each, over_at in struck_at.items()]
    return Row(
        fault=fault.name,
        times=times,
        jobs=len(ours),
        lost=len(lost),
        failed=len(ours - lost - stage.done(ours)),
        ended_twice=len(ours & set(stage.observer.twice())),
        crashed=stage.crashed() - crashed,
        refused=stage.refused - refused,
        slowest_recovery_s=max([0.0, *slowest]),
    )


def _strike(stage: Scene, fault: Fault, after: int, progress_s: float) -> tuple[float, list[str]]:
    """Strike once `after` jobs have ended and some run. Returns its end and the jobs it struck."""
    until(
        lambda: len(stage.acknowledged) - len(stage.unended()) >= after,
        progress_s,
        lambda: f"{after} jobs end: {stage.stack.log}",
    )
    held = until(stage.running, PROGRESS_S, lambda: f"a job runs: {stage.stack.log}")
    seen = fault.strike(stage)
    return time.monotonic(), held if seen is None else seen


def table(rows: list[Row]) -> str:
    """The rows as a table in Markdown."""
    heads = ["fault", "times", "jobs", "lost", "failed", "ended twice", "crashed", "refused"]
    lines = [f"| {' | '.join(heads)} | slowest recovery |", "| --- |" + " ---: |" * 8]
    for row in rows:
        cells = [row.fault, row.times, f"{row.jobs:,}", row.lost, row.failed]
        cells += [row.ended_twice, row.crashed, row.refused]
        lines.append(f"| {' | '.join(map(str, cells))} | {row.slowest_recovery_s:.1f} s |")
    return "\n".join(lines)
