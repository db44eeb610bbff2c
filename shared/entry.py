"""A job's record as the ledger keeps it: the states, and what is known of one job."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from shared.envelope import time_of


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
        """Whether nothing more will happen to the job."""
        return self not in (State.WAITING, State.RUNNING)


ENDED = tuple(state for state in State if state.ended)


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
    deadline_at: float | None
    worker: str
    pid: int | None
    """The process that started it last, on the worker's machine."""
    error: str
    cancel_asked: bool
    history: tuple[str, ...]
    """Of each run that ended with its worker: when it started, and where."""


def entry_of(job_id: str, raw: Mapping[bytes, bytes], now: float) -> Entry | None:
    """Read a record; None where there is none.

    Args:
        job_id: whose.
        raw: the hash as Redis gives it.
        now: Unix time in seconds, by Redis's clock.
    """
    record = {key.decode(): value.decode() for key, value in raw.items()}
    if "state" not in record:
        return None
    state, deadline_at = State(record["state"]), _time(record, "deadline_at")
    started_at = _time(record, "started_at")
    if state is State.WAITING and started_at is None and deadline_at and now > deadline_at:
        state = State.EXPIRED  # whether or not a worker has met its message yet
    return Entry(
        job_id=job_id,
        state=state,
        op=record.get("op", ""),
        level=_whole(record, "level"),
        items=_whole(record, "items") or 0,
        items_failed=_whole(record, "items_failed") or 0,
        enqueued_at=_time(record, "enqueued_at"),
        started_at=started_at,
        ended_at=_time(record, "ended_at"),
        deadline_at=deadline_at,
        worker=record.get("worker", ""),
        pid=_whole(record, "pid"),
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
