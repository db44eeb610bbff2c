"""How fast does a worker consume no-op jobs with aging on, over stock Celery in the same run?

A queue is filled with messages of the same kind; then a prefork worker with a process a core starts
and empties it. With ours run the upkeep worker and beat, which sweeps every second.
"""

import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import redis

from benchmarks.report import Spread, report
from producer.session import make_session
from producer.supervisor import Child, Program, celery
from shared import keys
from shared.embedded_redis import embedded_redis
from shared.names import LEVELS
from shared.setting_types import usable_cores
from shared.settings import Settings

JOBS = 3000
ROUNDS = 3
KINDS = ("stock", "stock, reserving like ours", "agewell")


@contextmanager
def child(name: str, command: list[str], env: dict[str, str], folder: Path) -> Iterator[Child]:
    """Run one program, from its being ready."""
    process = Child(Program(name, command, env), folder, folder)
    process.start()
    try:
        while not process.ready:
            process.tend(lambda _, what: print(name, what) if "ready" not in what else None)
            time.sleep(0.01)
        yield process
    finally:
        process.kill_group()
        process.close()


JOB = {
    "op": "hsv",
    "items": [
        {
            "image": {
                "uri": f"redis:{'0' * 64}",
                "sha256": "0" * 64,
                "size_bytes": 1,
                "media_type": "image/png",
                "name": "a.png",
            }
        }
    ],
}


def fill(settings: Settings, *, keep: bool) -> None:
    """Publish the jobs, all of them bulk, as ours; a stock worker reads them as well."""
    app = make_session(settings).app
    task, args = ("cv.hsv", [JOB]) if keep else ("cv.noop", [])
    with app.producer_pool.acquire() as producer, producer.batch():
        for _ in range(JOBS):
            # Level 9 is a list that stock Celery knows as well, under its own steps 0, 3, 6, 9.
            options = {"queue": "cv", "priority": 9, "producer": producer}
            app.send_task(task, args=args, ignore_result=not keep, **options)


def waiting(client: redis.Redis) -> int:
    """Jobs in the queue, on all levels."""
    pipe = client.pipeline(transaction=False)
    for level in LEVELS:
        pipe.llen(keys.waiting_list("cv", level))
    return sum(pipe.execute())


def consume(kind: str, *, keep: bool) -> float:
    """Jobs per second, with results and the ledger or with neither."""
    with tempfile.TemporaryDirectory(prefix="aw-") as name, ExitStack() as stack:
        folder = Path(name)
        server = stack.enter_context(embedded_redis(folder / "redis"))
        env = {"AGEWELL_REDIS_URL": server.url, "NOOP_KIND": kind}
        settings = Settings(redis_url=server.url)
        fill(settings, keep=keep)
        if kind == "agewell":
            stack.enter_context(child("upkeep", _upkeep(), env, folder))
            stack.enter_context(child("beat", _beat(folder), env, folder))
        client = make_session(settings).client
        stack.enter_context(child("worker", _worker(), env, folder))
        return _rate(client)


def _rate(client: redis.Redis) -> float:
    """Watch the queue's length between nine tenths and one tenth."""
    marks = []
    for share in (0.9, 0.1):
        while waiting(client) > share * JOBS:
            time.sleep(0.005)
        marks.append((time.perf_counter(), waiting(client)))
    (began, first), (ended, last) = marks
    return (first - last) / (ended - began)


def _worker() -> list[str]:
    concurrency = f"--concurrency={usable_cores()}"
    name = f"noop@{socket.gethostname()}"
    quiet = ("--loglevel=ERROR", "--without-gossip", "--without-mingle")
    return celery("-A", "benchmarks.noop", "worker", "-Q", "cv", "-n", name, concurrency, *quiet)


def _upkeep() -> list[str]:
    quiet = ("--pool=threads", "--concurrency=1", "--loglevel=ERROR")
    return celery("-A", "workers.upkeep", "worker", "-Q", "upkeep", *quiet)


def _beat(folder: Path) -> list[str]:
    files = ("--pidfile=", f"--schedule={folder / 'schedule'}")
    return celery("-A", "workers.upkeep", "beat", *files, "--loglevel=ERROR")


def main() -> None:
    """In turn, each on a Redis of its own."""
    os.environ["AGEWELL_LOG_LEVEL"] = "ERROR"
    compare("consume", "No-op jobs, results ignored", keep=False)
    compare("consume-ledger", "No-op jobs, results kept; ours in the ledger", keep=True)


def compare(name: str, title: str, *, keep: bool) -> None:
    """Every kind in turn, several times over."""
    rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(ROUNDS):
        for kind in KINDS:
            rates[kind].append(consume(kind, keep=keep))
    rows = [
        {
            "worker": kind,
            "jobs/s": Spread(tuple(rates[kind])),
            "over stock": Spread(_ratios(rates, kind, "stock")),
            "over reserving like ours": Spread(_ratios(rates, kind, KINDS[1])),
        }
        for kind in KINDS
    ]
    report(name, title, rows)


def _ratios(rates: dict[str, list[float]], kind: str, other: str) -> tuple[float, ...]:
    return tuple(a / b for a, b in zip(rates[kind], rates[other], strict=True))


if __name__ == "__main__":
    main()
