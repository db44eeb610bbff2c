"""One job's record: its state, and all that is known of it except its message."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from agewell.shared.protocol.envelope import time_of


class State(StrEnum):
    """Where a job stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    DEAD = "dead"

    @property
    def ended(self) -> bool:
        """True if nothing more will happen to the job."""
        return self not in (State.WAITING, State.RUNNING)


ENDED = tuple(state for state in State if state.ended)


@dataclass(frozen=True)
class Record:
    """One job's record; times are Unix times in seconds, None if it has not come to that."""

    FIELDS: ClassVar = (
        *("state", "op", "level", "items", "items_failed", "enqueued_at", "due_at", "started_at"),
        *("ended_at", "deadline_at", "worker", "worker_id", "error", "cancelled_at", "history"),
    )
    """The fields of the hash that a record is read from."""

    job_id: str
    state: State
    op: str = ""
    level: int | None = None
    items: int = 0
    items_failed: int = 0
    enqueued_at: float | None = None
    due_at: float | None = None
    """When a job that was sent for later, or is tried again later, may start."""
    started_at: float | None = None
    ended_at: float | None = None
    deadline_at: float | None = None
    worker: str = ""
    pid: int | None = None
    """The process of the worker that has it, on that worker's machine; None if none has."""
    error: str = ""
    cancel_asked: bool = False
    history: tuple[str, ...] = ()
    """Of each lost delivery: when it started, and on which worker."""

    def is_scheduled(self, now: float) -> bool:
        """True if the job waits for its time: it was sent for later, or is tried again later."""
        return self.state is State.WAITING and self.due_at is not None and self.due_at > now


def record_of(job_id: str, raw: Sequence[bytes | None], now: float) -> Record | None:
    """Read a record; None if there is none, or for another task than an operation.

    Args:
        job_id: whose.
        raw: `Record.FIELDS` as Redis gives them.
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
        state = State.EXPIRED  # if upkeep has not come to it yet, too
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
    )


def _time(record: Mapping[str, str], field: str) -> float | None:
    """A time of a record; None if it has none, or none that can be read."""
    try:
        return time_of(float(record[field]))
    except (KeyError, ValueError):
        return None


def _whole(record: Mapping[str, str], field: str) -> int | None:
    try:
        return int(record[field])
    except (KeyError, ValueError):
        return None
