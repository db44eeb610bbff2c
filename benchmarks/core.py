"""The cost of the queue's core in Redis, on each server, compared with the former core with lists.

Figures of Redis are processor time of its main thread, without persistence. They depend little on
other programs of the machine. The times of the longest scripts are by Redis's clock, which also
counts the time in which another program had the processor.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agewell.producer.session import Session, make_session
from agewell.shared.settings import Settings
from benchmarks import core_redis, core_stack, filling
from benchmarks.core_lines import core_lines
from benchmarks.report import report
from benchmarks.servers import Meter, Server, server, servers

WAITING = 1_000_000
TENANTS = 1_000


@dataclass(frozen=True)
class Row:
    """One measure of the core."""

    name: str
    with_lists: str
    """The figure of the former core, which kept messages in lists."""
    unit: str
    most: float | None = None
    """The target, if the figure must be at most this."""
    least: float | None = None
    """The target, if the figure must be at least this."""

    @property
    def target(self) -> str:
        """The target as text, "-" without one."""
        bounds = ((self.most, "<="), (self.least, ">="))
        [text] = [f"{sign} {bound:,g}" for bound, sign in bounds if bound is not None] or ["-"]
        return text

    def is_met(self, figures: list[float]) -> bool | None:
        """Return True if every figure meets the target, or None if there is none."""
        if self.most is not None:
            return all(figure <= self.most for figure in figures)
        return all(figure >= self.least for figure in figures) if self.least is not None else None


ROWS = {
    "take": Row("take, 1,000,000 waiting, start included", "2 round trips, 100-208", "us", 100),
    "cancel": Row("cancel, 1,000,000 waiting", "3,900, not found", "ms", 1),
    "cancel large": Row("cancel, 1,000 messages of 1 MiB", "79,000", "ms", 1),
    "agewell queues": Row("agewell queues, 1,000,000 waiting", "0.1-0.2", "ms", 20),
    "agewell top": Row("agewell top, one look", "0.1-0.3", "ms", 20),
    "Flower": Row("Flower, one refresh", "0.1-0.25", "ms", 20),
    "read": Row("read by these three, 1,000 messages of 1 MiB", "3,000", "KiB", 200),
    "upkeep": Row("upkeep, 1,000,000 waiting, idle: Redis", "80", "% of a core", 1),
    "upkeep python": Row("  its worker and beat", "12", "% of a core"),
    "upkeep longest": Row("  its longest script", "68", "ms", 2),
    "upkeep oldest": Row("  the oldest pass of the beat task", "193, and growing", "s", 5),
    "wake": Row("one message, 500 idle workers", "15-40", "ms", 0.5),
    "ended": Row("memory of an ended job with one image", "2,520-2,600", "B", 1200),
    "waiting": Row("memory of a waiting job, message included", "1,650", "B"),
    "publish": Row("publish one of 1,000,000 jobs", "-", "us"),
    "tenants publish": Row("1,000,000 jobs of 1,000 tenants: publish one", "-", "us"),
    "tenants take": Row("  take one, start included", "-", "us"),
    "tenants cancel": Row("  cancel one", "-", "ms", 1),
    "tenants agewell queues": Row("  agewell queues", "-", "ms", 50),
    "tenants agewell top": Row("  agewell top, one look", "-", "ms", 50),
    "tenants Flower": Row("  Flower, one refresh", "-", "ms", 50),
    "tenants page": Row("  the page of the queues, one sample", "-", "ms", 50),
    "tenants list": Row("  agewell tenants list", "-", "ms", 50),
    "tenants metrics": Row("  one scrape of the metrics", "-", "ms", 50),
    "tenants waiting": Row("  memory of a waiting job", "-", "B"),
    "late": Row("10,000 countdown jobs: latest start", "0.35", "s", 1),
    "moved": Row("  moved by kill -9 of one of two workers", "all of one worker's", "jobs", 0),
    "held": Row("  memory of the workers while they wait", "107", "MiB", 5),
    "expire": Row("expiring 100,000 jobs of one deadline", "1,000", "per s", least=10_000),
    "expire longest": Row("  its longest call", "-", "ms", 2),
    "beat": Row("messages of beat after 30 s without upkeep", "91, and growing", "", 5),
    "lines": Row("lines of code of the core", "2,343", "", 2342),
}


def measure_redis(running: Server, session: Session) -> Iterator[tuple[str, float]]:
    """Measure the rows that need only Redis."""
    yield "wake", core_redis.wake(running, session)
    _empty(running)
    yield "cancel large", core_redis.cancel_large(running, session)
    yield "read", core_redis.read_kib(running, session)
    _empty(running)
    expired = core_redis.expire_all(running, session)
    yield "expire", expired.jobs_per_s
    yield "expire longest", expired.longest_ms


def measure_waiting(running: Server, session: Session) -> Iterator[tuple[str, float]]:
    """Measure the rows with a million waiting jobs."""
    found = _fill(running, session)
    yield "publish", found.publish_us
    yield "waiting", found.job_bytes
    yield from core_redis.look_at_queues(running, session).items()
    yield "take", core_redis.take(running, session)
    yield "cancel", core_redis.cancel(running, session, found.ids[WAITING // 2 :])
    upkeep = core_stack.upkeep(running, session)
    yield "upkeep", upkeep.redis_percent
    yield "upkeep python", upkeep.python_percent
    yield "upkeep longest", upkeep.longest_ms
    yield "upkeep oldest", upkeep.oldest_pass_s


def measure_tenants(running: Server, session: Session) -> Iterator[tuple[str, float]]:
    """Measure the rows with a million waiting jobs of a thousand tenants."""
    found = _fill(running, session, tenants=TENANTS)
    yield "tenants publish", found.publish_us
    yield "tenants waiting", found.job_bytes
    for name, took_ms in core_redis.look_at_tenants(running, session).items():
        yield f"tenants {name}", took_ms
    yield "tenants take", core_redis.take(running, session)
    yield "tenants cancel", core_redis.cancel(running, session, found.ids[WAITING // 2 :])


@dataclass(frozen=True)
class Filled:
    """A filled queue, and the cost of a job in it."""

    ids: list[str]
    publish_us: float
    job_bytes: float


def _fill(running: Server, session: Session, tenants: int = 0) -> Filled:
    before = running.memory_bytes()
    with Meter(running) as meter:
        ids = filling.fill(session, WAITING, tenants=tenants)
    grown = running.memory_bytes() - before
    return Filled(ids, meter.us / WAITING, grown / WAITING)


def measure_stack(running: Server, session: Session) -> Iterator[tuple[str, float]]:
    """Measure the rows that need workers or beat."""
    yield "beat", core_stack.beat_alone(running, session)
    _empty(running)
    yield "ended", core_stack.ended_bytes(running, session)
    _empty(running)
    found = core_stack.scheduled(running, session)
    yield "late", found.latest_s
    yield "moved", found.redelivered
    yield "held", found.worker_mib


PARTS: dict[str, Callable[[Server, Session], Iterator[tuple[str, float]]]] = {
    "redis": measure_redis,
    "waiting": measure_waiting,
    "tenants": measure_tenants,
    "stack": measure_stack,
}


def _empty(running: Server) -> None:
    running.client.flushall(asynchronous=True)


def measure(binary: Path, parts: list[str]) -> tuple[str, dict[str, float]]:
    """Measure the parts on a server, and return its name and its figures by row."""
    figures: dict[str, float] = {}
    for part in parts:
        with server(binary) as running:
            session = make_session(Settings(redis_url=running.url))
            name = running.name
            for row, figure in PARTS[part](running, session):
                print(f"{name}: {ROWS[row].name.strip()}: {figure:.3g} {ROWS[row].unit}")
                figures[row] = figure
    return name, figures


def main() -> None:
    """Measure all parts on all servers, or only the parts named on the command line."""
    named = [each for each in sys.argv[1:] if each in PARTS]
    found = dict(measure(binary, named or list(PARTS)) for binary in servers())
    lines = core_lines()
    for figures in found.values():
        figures["lines"] = lines
    report("core", "The cost of the queue's core", list(_lines(found)))


def _lines(found: dict[str, dict[str, float]]) -> Iterator[dict[str, Any]]:
    for key, row in ROWS.items():
        figures = {name: of_server[key] for name, of_server in found.items() if key in of_server}
        if figures:
            met = row.is_met(list(figures.values()))
            yield {
                "measure": row.name,
                "unit": row.unit,
                "with lists": row.with_lists,
                **figures,
                "target": row.target,
                "met": "-" if met is None else ("no", "yes")[met],
            }


if __name__ == "__main__":
    main()
