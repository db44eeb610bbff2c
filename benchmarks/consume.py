"""How fast does a worker consume no-op jobs with aging, compared with stock Celery?

A queue is filled through the worker's app. Then a prefork worker with one process per core starts
and empties it. Next to agewell's worker run upkeep and beat, which re-prioritises every second. The
rate and the processor time are measured from 90 % to 10 % of the jobs left.
"""

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import psutil
from celery import Celery

from agewell.shared.celery.app import broker_url, make_app
from agewell.shared.cores import usable_cores
from agewell.shared.protocol.tasks import Queue
from agewell.shared.settings import Settings
from benchmarks import programs
from benchmarks.filling import JOB
from benchmarks.report import Spread, report
from benchmarks.servers import Server, server

JOBS = 4000
ROUNDS = 9
STOCK, RESERVING, OURS = "stock", "stock, reserving like ours", "agewell"
KINDS = (STOCK, RESERVING, OURS)


@dataclass(frozen=True)
class Consumed:
    """The measurement of one worker that empties one queue."""

    jobs_per_s: float
    worker_us: float
    """Processor time of the worker's main process for one job."""
    pool_us: float
    """Processor time of the worker's pool for one job."""
    redis_us: float
    """Processor time of Redis for one job."""

    @property
    def processor_us(self) -> float:
        """The whole processor time of one job. It depends less on a busy machine than the rate."""
        return self.worker_us + self.pool_us + self.redis_us


def sender(kind: str, redis_url: str) -> Celery:
    """Make an app that publishes messages for a kind of worker."""
    if kind == OURS:
        return make_app(Settings(redis_url=redis_url))
    return Celery("stock", broker=broker_url(redis_url))


def fill(app: Celery, *, keep: bool) -> None:
    """Publish the jobs, all on the level bulk.

    Args:
        app: from `sender`.
        keep: send jobs with a kept result; otherwise no-ops without a result.
    """
    task, args = ("cv.hsv", [JOB]) if keep else ("cv.noop", [])
    with app.producer_pool.acquire() as producer, producer.batch():
        for _ in range(JOBS):
            # Stock Celery has this list, too: its default priority steps are 0, 3, 6 and 9.
            options = {"queue": Queue.CV.value, "priority": 9, "producer": producer}
            app.send_task(task, args=args, ignore_result=not keep, **options)


def consume(kind: str, *, keep: bool) -> Consumed:
    """Fill a queue, and measure a worker that empties it."""
    with ExitStack() as stack:
        redis = stack.enter_context(server())
        env = {"AGEWELL_REDIS_URL": redis.url, "NOOP_KIND": kind}
        app = sender(kind, redis.url)
        fill(app, keep=keep)
        if kind == OURS:
            for name, command in (
                ("upkeep", programs.upkeep()),
                ("beat", programs.beat(redis.folder)),
            ):
                stack.enter_context(programs.running(name, command, env, redis.folder))
        channel = stack.enter_context(app.connection_for_read()).default_channel
        command = programs.worker("benchmarks.noop", "noop", usable_cores())
        worker = stack.enter_context(programs.running("worker", command, env, redis.folder))
        return _watch(redis, worker, lambda: channel._size(Queue.CV.value))


def _watch(redis: Server, worker: psutil.Process, waiting: Callable[[], int]) -> Consumed:
    marks = []
    for share in (0.9, 0.1):
        while (left := waiting()) > share * JOBS:
            time.sleep(0.02)
        pool = sum(map(programs.processor_s, worker.children()))
        spent = (programs.processor_s(worker), pool, redis.processor_us() / 1e6)
        marks.append((left, time.perf_counter(), spent))
    (first, began, before), (last, ended, after) = marks
    jobs = first - last
    a_job_us = [1e6 * (b - a) / jobs for a, b in zip(before, after, strict=True)]
    return Consumed(jobs / (ended - began), *a_job_us)


def main() -> None:
    """Measure both comparisons, each run on a separate Redis."""
    os.environ["AGEWELL_LOG_LEVEL"] = "ERROR"
    # Ratios to stock Celery: that of the former core with lists, and the target.
    compare("consume", "No-op jobs, results ignored", ("2.47", ">= 2.47"), keep=False)
    compare("consume-kept", "No-op jobs, results kept", ("0.92", ">= 1.2"), keep=True)


def compare(name: str, title: str, bounds: tuple[str, str], *, keep: bool) -> None:
    """Measure all kinds in turns, and report them.

    Args:
        name: of the report.
        title: of the table.
        bounds: the ratio of the former core with lists, and the target.
        keep: keep the results of jobs.
    """
    found: dict[str, list[Consumed]] = {kind: [] for kind in KINDS}
    for _ in range(ROUNDS):
        for kind in KINDS:
            found[kind].append(consume(kind, keep=keep))
    rows = [_row(found, kind) for kind in KINDS]
    for kind, row in zip(KINDS, rows, strict=True):
        row["with lists"], row["target"] = bounds if kind == OURS else ("-", "-")
    report(name, title, rows)


def _row(found: dict[str, list[Consumed]], kind: str) -> dict[str, object]:
    def spread(field: str) -> Spread:
        return Spread(tuple(getattr(each, field) for each in found[kind]))

    def over(other: str) -> Spread:
        pairs = zip(found[kind], found[other], strict=True)
        return Spread(tuple(ours.jobs_per_s / theirs.jobs_per_s for ours, theirs in pairs))

    processor = zip(found[STOCK], found[kind], strict=True)
    return {
        "worker": kind,
        "jobs/s": spread("jobs_per_s"),
        "over stock": over(STOCK),
        "over reserving like ours": over(RESERVING),
        "over stock, by processor time": Spread(
            tuple(theirs.processor_us / ours.processor_us for theirs, ours in processor)
        ),
        "main us a job": spread("worker_us"),
        "pool us a job": spread("pool_us"),
        "Redis us a job": spread("redis_us"),
    }


if __name__ == "__main__":
    main()
