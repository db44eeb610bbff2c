"""A queue with workers of timed jobs: started from the project's own programs."""

import json
import random
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agewell.producer.session import Session, make_session
from agewell.producer.up.embedded_redis import embedded_redis
from agewell.producer.up.supervisor import Child, Program, celery
from agewell.shared.settings import Settings
from tests.support.paths import ROOT
from tests.support.stack import until

STARTED = "timed:started"


@dataclass(frozen=True)
class Start:
    """One job's start, in Unix times in seconds."""

    job_id: str
    level: int
    enqueued_at: float
    started_at: float


def ids_of(starts: list[Start]) -> set[str]:
    """The ids of the jobs that have started."""
    return {start.job_id for start in starts}


@dataclass(frozen=True)
class TimedStack:
    session: Session

    def send(self, level: int, seconds: float, tenant: str | None = None) -> str:
        return self._send(level, seconds, headers={"tenant": tenant} if tenant else {})

    def send_many(self, level: int, seconds: float, count: int) -> None:
        with self.session.app.producer_pool.acquire() as producer, producer.batch():
            for _ in range(count):
                self._send(level, seconds, producer=producer)

    def _send(self, level: int, seconds: float, **options: object) -> str:
        sent = self.session.app.send_task(
            "cv.timed", args=[seconds], queue="cv", priority=level, ignore_result=True, **options
        )
        return sent.id

    def starts(self) -> list[Start]:
        raw = self.session.client.lrange(STARTED, 0, -1)
        return [
            Start(each["id"], each["level"], each["enqueued_at"], each["started_at"])
            for each in map(json.loads, raw)
        ]

    def offer(self, rates: dict[int, float], seconds: float, for_s: float, seed: int) -> None:
        """Send Poisson arrivals of each level for a while, each at its own time."""
        chance = random.Random(seed)
        total = sum(rates.values())
        started = time.monotonic()
        at = 0.0
        while (at := at + chance.expovariate(total)) < for_s:
            time.sleep(max(0.0, started + at - time.monotonic()))
            [level] = chance.choices(list(rates), list(rates.values()))
            self.send(level, seconds)


@contextmanager
def timed_stack(pool: str, concurrency: int, **settings: object) -> Iterator[TimedStack]:
    """Redis, a worker of timed jobs, the upkeep worker and beat."""
    with tempfile.TemporaryDirectory(prefix="aw-") as folder:
        path = Path(folder)
        with embedded_redis(path / "redis") as server:
            env = {"AGEWELL_REDIS_URL": server.url, "PYTHONPATH": str(ROOT)}
            env |= {f"AGEWELL_{name.upper()}": str(value) for name, value in settings.items()}
            host = socket.gethostname()
            worker = celery(
                *("-A", "tests.support.timed", "worker", "-Q", "cv", "-n", f"timed@{host}"),
                *(f"--pool={pool}", f"--concurrency={concurrency}", "--loglevel=WARNING"),
            )
            upkeep = celery(
                *("-A", "agewell.workers.upkeep", "worker", "-Q", "upkeep", "-n", f"upkeep@{host}"),
                *("--pool=threads", "--concurrency=1", "--loglevel=WARNING"),
            )
            beat = celery(
                *(
                    "-A",
                    "agewell.workers.upkeep",
                    "beat",
                    "--pidfile=",
                    f"--schedule={path / 'schedule'}",
                )
            )
            commands = {"timed": worker, "upkeep": upkeep, "beat": beat}
            children = [
                Child(Program(name, command, env), path, path) for name, command in commands.items()
            ]
            try:
                _start(children)
                yield TimedStack(make_session(Settings(redis_url=server.url, **settings)))
            finally:
                for child in children:
                    child.kill_group()
                    child.close()


def _start(children: list[Child]) -> None:
    for child in children:
        child.start()

    def all_ready() -> bool:
        for child in children:
            child.tend(lambda name, what: sys.stderr.write(f"{name}: {what}\n"))
        return all(child.ready for child in children)

    until(all_ready, 90, lambda: [child.log.read_text() for child in children])
