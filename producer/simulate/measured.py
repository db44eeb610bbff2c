"""Measures the load of a running system: how often jobs come, and how long they run."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import redis
from celery import Celery

from agewell.producer.simulate.jobs import Measured
from agewell.shared.errors import ParameterError
from agewell.shared.protocol.tasks import queue_of
from agewell.shared.queue.record import State
from agewell.shared.redis import keys

RECENT_S = 3600.0
"""Age of the oldest jobs that count, in seconds."""

MOST_RECORDS = 200_000
LEAST_JOBS = 20
PAGE = 1000
ANSWER_WITHIN_S = 3.0

_FIELDS = ("op", "level", "state", "enqueued_at", "started_at", "ended_at")


@dataclass(frozen=True)
class Load:
    """The measured load of one queue."""

    rates_per_s: dict[int, float]
    """Jobs per second by level, between the first arrival and the last."""
    service: Measured
    """Run times of the jobs that are done, of all operations together."""
    times_of_op: dict[str, Measured]
    """The same run times by operation."""


@dataclass(frozen=True)
class _Job:
    level: int
    op: str
    enqueued_at: float
    ran_s: float | None


def measure(client: redis.Redis, queue: str, now: float) -> Load:
    """Measure the load of a queue from the records of jobs that came within the last hour.

    Args:
        client: a client of the broker's Redis.
        queue: the name of the queue.
        now: Unix time in seconds.

    Raises:
        ParameterError: fewer than 20 of these jobs are done.
    """
    jobs = [job for job in _jobs(client, queue) if job.enqueued_at > now - RECENT_S]
    times = defaultdict(list)
    for job in jobs:
        if job.ran_s is not None:
            times[job.op].append(job.ran_s)
    measured = sum(map(len, times.values()))
    came = [job.enqueued_at for job in jobs]
    span_s = max(came, default=0.0) - min(came, default=0.0)
    if measured < LEAST_JOBS or span_s <= 0:
        needed = f"a queue with {LEAST_JOBS} jobs that came and ended within the last hour"
        raise ParameterError("--measured", f"{queue}, with {measured}", needed)
    # n jobs have n - 1 intervals between them.
    per_job = (len(jobs) - 1) / len(jobs) / span_s
    of_level = Counter(job.level for job in jobs)
    return Load(
        rates_per_s={level: count * per_job for level, count in sorted(of_level.items())},
        service=Measured(tuple(ran_s for each in times.values() for ran_s in each)),
        times_of_op={op: Measured(tuple(each)) for op, each in sorted(times.items())},
    )


def _jobs(client: redis.Redis, queue: str) -> Iterator[_Job]:
    """Read the records of a queue's jobs, page by page, so that no call blocks Redis for long."""
    cursor, seen = 0, 0
    while True:
        cursor, found = client.scan(cursor, match=keys.job("*"), count=PAGE)
        pipe = client.pipeline(transaction=False)
        for key in found:
            pipe.hmget(key, _FIELDS)
        for values in pipe.execute():
            job = _job(dict(zip(_FIELDS, values, strict=True)), queue)
            if job is not None:
                yield job
        seen += len(found)
        if cursor == 0 or seen >= MOST_RECORDS:
            return


def _job(record: dict[str, bytes | None], queue: str) -> _Job | None:
    op, level, enqueued_at = (record[name] for name in ("op", "level", "enqueued_at"))
    if op is None or level is None or enqueued_at is None or queue_of(op.decode()) != queue:
        return None
    started_at, ended_at, state = (record[name] for name in ("started_at", "ended_at", "state"))
    ran = state == State.DONE.value.encode() and started_at is not None and ended_at is not None
    ran_s = max(float(ended_at) - float(started_at), 1e-6) if ran else None  # type: ignore[arg-type]
    return _Job(int(level), op.decode(), float(enqueued_at), ran_s)


def workers_of(app: Celery, queue: str) -> int:
    """Ask the workers of a queue how many jobs they run at a time, all together.

    Raises:
        ParameterError: no worker of the queue answers.
    """
    inspect = app.control.inspect(timeout=ANSWER_WITHIN_S)
    serving = {
        name
        for name, queues in (inspect.active_queues() or {}).items()
        if queue in (each["name"] for each in queues)
    }
    stats = inspect.stats() or {}
    found = sum(stats[name]["pool"]["max-concurrency"] for name in serving if name in stats)
    if not found:
        raise ParameterError("--workers", "unset", f"a number, as no worker of {queue} answers")
    return int(found)
