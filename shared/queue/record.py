"""The record of one job: its state, its times and its history, without its message."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from agewell.shared.protocol.envelope import time_of


class State(StrEnum):
    """The state of a job."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    DEAD = "dead"

    @property
    def ended(self) -> bool:
        """True if the job neither waits nor runs."""
        return self not in (State.WAITING, State.RUNNING)


ENDED = tuple(state for state in State if state.ended)


@dataclass(frozen=True)
class Record:
    """The record of one job. Times are Unix times in seconds, or None if not reached or unknown."""

    FIELDS: ClassVar = (
        *("state", "op", "level", "items", "items_failed", "enqueued_at", "due_at", "started_at"),
        *(
            "ended_at",
            "deadline_at",
            "worker",
            "worker_id",
            "error",
            "cancelled_at",
            "history",
            "progress",
            "tenant",
        ),
    )
    """The fields of the Redis hash to read."""

    job_id: str
    state: State
    op: str = ""
    level: int | None = None
    items: int = 0
    items_failed: int = 0
    enqueued_at: float | None = None
    due_at: float | None = None
    """When a scheduled job, or a job that waits for its next retry, may start."""
    started_at: float | None = None
    ended_at: float | None = None
    deadline_at: float | None = None
    worker: str = ""
    pid: int | None = None
    """The process id of the worker that runs the job, on its machine. None if none runs it."""
    error: str = ""
    cancel_asked: bool = False
    """True if the job was asked to end while it ran."""
    history: tuple[str, ...] = ()
    """For each lost delivery, its start and its worker, separated by a space."""
    progress: float | None = None
    """The part of a running job that is done, 0 to 1, if its operation reports it."""

    tenant: str = ""
    """For whom the job runs, or "" for nobody in particular."""

    def is_scheduled(self, now: float) -> bool:
        """Return True if the job waits for its eta or for its next retry."""
        return self.state is State.WAITING and self.due_at is not None and self.due_at > now


def record_of(job_id: str, raw: Sequence[bytes | None], now: float) -> Record | None:
    """Read a record. Returns None if there is none, or if its task is not an operation.

    Args:
        job_id: the job's id.
        raw: the values of `Record.FIELDS` in Redis.
        now: Unix time in seconds, by Redis's clock.
    """
    record = {
        field: value.decode()
        for field, value in zip(Record.FIELDS, raw, strict=True)
        if value is not None
    }
    if "state" not in record or record.get("op") == "":
        return None
    state, deadline_at = State(record["state"]), _time(record, "deadline_at")
    started_at = _time(record, "started_at")
    if state is State.WAITING and started_at is None and deadline_at and now > deadline_at:
        state = State.EXPIRED  # even before upkeep has ended it
    worker, _, place = record.get("worker_id", "").rpartition(":")[0].rpartition(":")
    pid = place.rpartition(".")[2]
    return Record(
        job_id=job_id,
        state=state,
        op=record.get("op", ""),
        level=_whole(record, "level"),
        items=_whole(record, "items") or 0,
        items_failed=_whole(record, "items_failed") or 0,
        enqueued_at=_time(record, "enqueued_at"),
        due_at=_time(record, "due_at"),
        started_at=started_at,
        ended_at=_time(record, "ended_at"),
        deadline_at=deadline_at,
        worker=record.get("worker") or worker,
        pid=int(pid) if pid.isdecimal() else None,
        error=record.get("error", ""),
        cancel_asked="cancelled_at" in record,
        history=tuple(record.get("history", "").splitlines()),
        progress=_time(record, "progress") if state is State.RUNNING else None,
        tenant=record.get("tenant", ""),
    )


def _time(record: Mapping[str, str], field: str) -> float | None:
    """Return a time of a record, or None if it is missing or malformed."""
    try:
        return time_of(float(record[field]))
    except (KeyError, ValueError):
        return None


def _whole(record: Mapping[str, str], field: str) -> int | None:
    try:
        return int(record[field])
    except (KeyError, ValueError):
        return None
