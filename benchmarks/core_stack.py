"""Measure workers, upkeep and beat with a Redis: their cost, and the delay of scheduled jobs."""

import os
import signal
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path

import psutil

from agewell.producer.client import Client
from agewell.producer.session import Session
from agewell.shared.protocol.built_in_jobs import HsvItem, HsvJob
from agewell.shared.protocol.tasks import Queue
from agewell.shared.queue.record import State
from agewell.shared.queue.status import queue_status
from agewell.workers.maintenance.aging import reprioritise, rescore
from agewell.workers.maintenance.orphans import WALK_EVERY_S, find_orphans
from benchmarks import filling, programs
from benchmarks.photos import make_images
from benchmarks.servers import Meter, Server

SETTLE_S, UPKEEP_S, BEAT_S = 10.0, 60.0, 30.0
WARM_UP_JOBS, ENDED_JOBS = 200, 2000
SCHEDULED, LEAD_S, DUE_WITHIN_S, KILL_BEFORE_S = 10_000, 30.0, 40.0, 5.0


@contextmanager
def program(server: Server, name: str, command: list[str], **env: str) -> Iterator[psutil.Process]:
    """Run one program with a server within this block."""
    given = {"AGEWELL_REDIS_URL": server.url, "AGEWELL_LOG_LEVEL": "ERROR"} | env
    with programs.running(name, command, given, server.folder) as process:
        yield process


@dataclass(frozen=True)
class Upkeep:
    """The measurement of upkeep over a minute."""

    redis_percent: float
    """Redis's share of a core, with the share of the walk over all jobs, due every few hours."""
    python_percent: float
    """The share of a core of the upkeep worker and beat."""
    longest_ms: float
    """The longest command or script, by Redis's clock."""
    oldest_pass_s: float
    """The longest time since the beat task last passed over the queue."""


def upkeep(server: Server, session: Session) -> Upkeep:
    """Run upkeep and beat while jobs wait and no worker runs."""
    walk_us = _walk(server, session)
    with (
        program(server, "upkeep", programs.upkeep()) as worker,
        program(server, "beat", programs.beat(server.folder)) as beat,
    ):
        time.sleep(SETTLE_S)
        server.note_slow()
        processes = (worker, beat)
        begun, redis_us = time.perf_counter(), server.processor_us()
        python_s = sum(map(programs.processor_s, processes))
        oldest_s = 0.0
        while time.perf_counter() < begun + UPKEEP_S:
            time.sleep(1)
            [status] = [
                each
                for each in queue_status(session.client, session.settings, session.now())
                if each.queue == Queue.CV.value
            ]
            oldest_s = max(oldest_s, status.last_sweep_s_ago or UPKEEP_S)
        took_s = time.perf_counter() - begun
        redis_us = server.processor_us() - redis_us
        python_s = sum(map(programs.processor_s, processes)) - python_s
        slow_ms = server.slow_ms()
    return Upkeep(
        redis_percent=redis_us / 1e4 / took_s + walk_us / 1e4 / WALK_EVERY_S,
        python_percent=100 * python_s / took_s,
        longest_ms=slow_ms[0],
        oldest_pass_s=oldest_s,
    )


def _walk(server: Server, session: Session) -> float:
    """Measure Redis's time for a walk over all jobs in microseconds.

    Before the walk, all jobs get their new priorities.
    """
    client, settings, now = session.client, session.settings, session.now()
    reprioritise(client, settings, now)
    while not rescore(client, Queue.CV.value, settings.aging_k, now):
        pass
    with Meter(server) as meter:
        find_orphans(session.app, client, settings, now, budget_s=float("inf"))
    return meter.us


def beat_alone(server: Server, session: Session) -> int:
    """Count the messages to upkeep after beat has run for some time without upkeep."""
    with (
        program(server, "beat", programs.beat(server.folder)),
        session.app.connection_for_read() as connection,
    ):
        time.sleep(BEAT_S)
        return int(connection.default_channel._size(Queue.UPKEEP.value))


def ended_bytes(server: Server, session: Session) -> float:
    """Measure the bytes that Redis stores for an ended job with one image and Celery's result."""
    blobs = f"file://{server.folder / 'blobs'}"
    settings = session.settings.model_copy(update={"blob_url": blobs})
    from agewell.producer.session import make_session

    client = Client(make_session(settings))
    command = programs.worker("agewell.workers.cv", "cv", 2)
    with (
        tempfile.TemporaryDirectory() as folder,
        program(server, "worker", command, AGEWELL_BLOB_URL=blobs),
    ):
        make_images(Path(folder), (64, 64), 20)
        refs = client.put(*sorted(Path(folder).iterdir()))

        def run(jobs: int) -> int:
            some = islice((HsvJob(items=(HsvItem(image=ref),)) for ref in cycle(refs)), jobs)
            for _ in client.outcomes(client.send_many(list(some))):
                pass
            return server.memory_bytes()

        before = run(WARM_UP_JOBS)
        return (run(ENDED_JOBS) - before) / ENDED_JOBS


@dataclass(frozen=True)
class Scheduled:
    """The measurement of jobs with a countdown, two workers, and kill -9 of one of them."""

    latest_s: float
    """Delay of the latest job's start."""
    over_1_s: int
    """Jobs that started more than a second late, or never."""
    redelivered: int
    worker_mib: float
    """Growth of the workers' main processes while all jobs were scheduled."""


def scheduled(server: Server, session: Session) -> Scheduled:
    """Send scheduled jobs, kill a worker before the first is due, and wait for all."""
    with ExitStack() as stack:
        stack.enter_context(program(server, "upkeep", programs.upkeep()))
        stack.enter_context(program(server, "beat", programs.beat(server.folder)))
        workers = [
            stack.enter_context(program(server, name, programs.worker("benchmarks.noop", name, 2)))
            for name in ("first", "second")
        ]
        before = sum(each.memory_info().rss for each in workers)
        due = _send_scheduled(session)
        first = min(due.values())
        time.sleep(max(0.0, first - KILL_BEFORE_S - session.now()))
        grown = sum(each.memory_info().rss for each in workers) - before
        for process in (*workers[0].children(), workers[0]):
            os.kill(process.pid, signal.SIGKILL)
        deadline = max(due.values()) + 30
        while session.now() < deadline and session.ledger.counts()[State.DONE] < SCHEDULED:
            time.sleep(0.5)
    entries = session.ledger.get_all(due)
    late = [
        entry.started_at - due[entry.job_id] if entry and entry.started_at else float("inf")
        for entry in entries
    ]
    return Scheduled(
        latest_s=max(late),
        over_1_s=sum(each > 1 for each in late),
        redelivered=sum(bool(entry and entry.history) for entry in entries),
        worker_mib=grown / 2**20,
    )


def _send_scheduled(session: Session) -> dict[str, float]:
    """Send the scheduled jobs, and return the time at which each is due."""
    first = session.now() + LEAD_S
    due = {
        str(uuid.uuid4()): first + number * DUE_WITHIN_S / SCHEDULED for number in range(SCHEDULED)
    }
    with session.app.producer_pool.acquire() as producer, producer.batch():
        for job_id, at in due.items():
            eta = datetime.fromtimestamp(at, UTC)
            filling.send(session, job_id, 5, eta=eta, producer=producer, ignore_result=True)
    return due
