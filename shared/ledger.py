"""The ledger: one record of each job, kept apart from the broker's lists."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

import redis

from shared import keys
from shared.stamp import RedisClock

_Record = dict[
    str | int | float | bytes | bytearray | memoryview,
    str | int | float | bytes | bytearray | memoryview,
]


class State(StrEnum):
    """Where a job stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to the job."""
        return self not in (State.WAITING, State.RUNNING)


@dataclass(frozen=True)
class Entry:
    """One job's record; times are Unix times in seconds, None where it has not come to that."""

    job_id: str
    state: State
    op: str
    level: int | None
    items: int
    items_failed: int
    enqueued_at: float | None
    started_at: float | None
    ended_at: float | None
    worker: str
    error: str
    cancel_asked: bool


class Ledger:
    """Reads and writes the records; a round trip or two a call."""

    def __init__(self, client: redis.Redis, ttl_s: int) -> None:
        self._client = client
        self._ttl_s = ttl_s
        self._clock = RedisClock()

    def open(self, jobs: Iterable[tuple[str, str, int, int, float]]) -> None:
        """Enter jobs about to be published: (id, operation, level, items, enqueued at)."""
        pipe = self._client.pipeline(transaction=False)
        for job_id, op, level, items, enqueued_at in jobs:
            record: _Record = {
                "state": State.WAITING.value,
                "op": op,
                "level": level,
                "items": items,
                "enqueued_at": enqueued_at,
            }
            pipe.hset(keys.job(job_id), mapping=record)
        pipe.execute()

    def start(
        self, job_id: str, op: str, items: int, worker: str, level: int, enqueued_at: float | None
    ) -> State | None:
        """Record that a job runs now; or, where it must not run, how it has ended already."""
        key, now = keys.job(job_id), self._clock.now(self._client)
        before = self.get(job_id)
        if before is not None and before.state.ended:
            return before.state
        waited_s = 0.0 if enqueued_at is None else max(0.0, now - enqueued_at)
        record: _Record = {
            "state": State.RUNNING.value,
            "op": op,
            "items": items,
            "started_at": now,
            "worker": worker,
            "level": level,
            "enqueued_at": now - waited_s,
        }
        pipe = self._client.pipeline()
        pipe.hset(key, mapping=record)
        pipe.hincrby(keys.STARTED, f"jobs:{level}", 1)
        pipe.hincrbyfloat(keys.STARTED, f"waited_s:{level}", waited_s)
        pipe.persist(key)
        pipe.execute()
        return None

    def end(self, job_id: str, state: State, *, items_failed: int = 0, error: str = "") -> None:
        """Record how a job ended; the record expires from now on."""
        key = keys.job(job_id)
        record: _Record = {
            "state": state.value,
            "ended_at": self._clock.now(self._client),
            "items_failed": items_failed,
            "error": error,
        }
        pipe = self._client.pipeline()
        pipe.hset(key, mapping=record)
        pipe.expire(key, self._ttl_s)
        pipe.execute()

    def cancel(self, job_id: str) -> Entry | None:
        """Ask for a job's end; its record as it was before, None for an unknown job."""
        before = self.get(job_id)
        if before is not None and not before.state.ended:
            self._client.hset(keys.job(job_id), "cancelled_at", self._clock.now(self._client))
        return before

    def cancel_asked(self, job_id: str) -> bool:
        """Whether a job's end was asked for."""
        return bool(self._client.hexists(keys.job(job_id), "cancelled_at"))

    def get(self, job_id: str) -> Entry | None:
        """A job's record, None for an unknown job."""
        raw = cast("dict[bytes, bytes]", self._client.hgetall(keys.job(job_id)))
        return _entry(job_id, {key.decode(): value.decode() for key, value in raw.items()})


def _entry(job_id: str, record: dict[str, str]) -> Entry | None:
    if "state" not in record:
        return None
    asked = "cancelled_at" in record
    state = State(record["state"])
    if asked and state is State.WAITING:
        state = State.CANCELLED
    return Entry(
        job_id=job_id,
        state=state,
        op=record.get("op", ""),
        level=int(record["level"]) if "level" in record else None,
        items=int(record.get("items", 0)),
        items_failed=int(record.get("items_failed", 0)),
        enqueued_at=_time(record, "enqueued_at"),
        started_at=_time(record, "started_at"),
        ended_at=_time(record, "ended_at"),
        worker=record.get("worker", ""),
        error=record.get("error", ""),
        cancel_asked=asked,
    )


def _time(record: dict[str, str], field: str) -> float | None:
    return float(record[field]) if field in record else None
