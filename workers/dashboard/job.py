"""What the page of one job shows: its record, its images before and after."""

import json
import time
from dataclasses import dataclass
from typing import Any, cast

from celery import Celery
from celery.states import SUCCESS
from pydantic import ValidationError

from shared import keys
from shared.entry import Entry
from shared.messages import ImageRef, ItemResult, JobResult
from shared.names import NAME_OF_LEVEL
from shared.stamp import redis_now
from workers.context import Context


@dataclass(frozen=True)
class Picture:
    """One image: where it lies; or, where there is nothing to show, why."""

    caption: str
    ref: ImageRef | None
    missing: str = ""


@dataclass(frozen=True)
class Row:
    """One item: its pictures by their places in the job's two lists, and what was said of it."""

    inputs: list[int]
    output: int | None
    info: str


@dataclass(frozen=True)
class Job:
    """One job, as its page shows it."""

    job_id: str
    state: str
    ended: bool
    facts: list[tuple[str, str]]
    inputs: list[Picture]
    outputs: list[Picture]
    rows: list[Row]


def find_job(context: Context, app: Celery, job_id: str) -> Job | None:
    """Read a job's record and its result; None for an unknown one."""
    entry = context.ledger.get(job_id)
    if entry is None:
        return None
    pipe = context.client.pipeline(transaction=False)
    pipe.hget(keys.job(job_id), "inputs")
    pipe.get(keys.result(job_id))
    kept, meta = pipe.execute()
    items = _inputs(kept)
    results = _results(app, meta)
    inputs: list[Picture] = []
    outputs: list[Picture] = []
    rows = []
    for number in range(max(len(items), len(results))):
        fields = items[number] if number < len(items) else {}
        mine = range(len(inputs), len(inputs) + len(fields))
        inputs += [_input(field, document) for field, document in fields.items()]
        result = results[number] if number < len(results) else None
        rows.append(Row(list(mine), None if result is None else len(outputs), _info(result)))
        if result is not None:
            outputs.append(_output(result))
    now = redis_now(context.client)
    facts = _facts(entry, now)
    return Job(job_id, entry.state.value, entry.state.ended, facts, inputs, outputs, rows)


def _inputs(kept: bytes | None) -> list[dict[str, Any]]:
    """The items whose references the ledger keeps: the first few of a job."""
    return cast("list[dict[str, Any]]", json.loads(kept)) if kept else []


def _results(app: Celery, meta: bytes | None) -> tuple[ItemResult, ...]:
    """What became of the items; empty where none has a result, or none of ours."""
    found = app.backend.decode_result(meta) if meta else {}
    if found.get("status") != SUCCESS:
        return ()
    try:
        return JobResult.model_validate(found["result"]).items
    except ValidationError:
        return ()


def _input(field: str, document: Any) -> Picture:
    try:
        ref = ImageRef.model_validate(document)
    except ValidationError:
        name = document.get("name", "") if isinstance(document, dict) else ""
        return Picture(f"{field}: {name}", None, "came inside the message, and is not kept")
    return Picture(f"{field}: {ref.name}", ref)


def _output(result: ItemResult) -> Picture:
    if result.image is not None:
        return Picture(result.image.name, result.image)
    reason = result.error.message if result.error else "no image"
    return Picture("failed", None, reason)


def _info(result: ItemResult | None) -> str:
    pairs = result.info.items() if result else ()
    return ", ".join(f"{name} {value:.3g}" if type(value) is float else f"{name} {value}"
                     for name, value in pairs)  # fmt: skip


def _facts(entry: Entry, now: float) -> list[tuple[str, str]]:
    failed = f", {entry.items_failed} failed" if entry.items_failed else ""
    waited_until = entry.started_at or entry.ended_at or now
    facts = [
        ("Job", entry.job_id),
        ("Operation", entry.op or "-"),
        ("Level", _level(entry.level)),
        ("Items", f"{entry.items}{failed}"),
        ("Enqueued", _clock(entry.enqueued_at)),
        ("Started", _clock(entry.started_at)),
        ("Ended", _clock(entry.ended_at)),
        ("Waited", _seconds(entry.enqueued_at, waited_until)),
        ("Ran", _seconds(entry.started_at, entry.ended_at or now)),
        ("Worker", f"{entry.worker}, process {entry.pid}" if entry.worker else "-"),
    ]
    facts += [("Lost with its worker", each) for each in entry.history]
    return facts + ([("Error", entry.error)] if entry.error else [])


def _level(level: int | None) -> str:
    return "-" if level is None else f"{level} {NAME_OF_LEVEL.get(level, '')}".rstrip()


def _clock(at: float | None) -> str:
    if at is None:
        return "-"
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))


def _seconds(start: float | None, end: float) -> str:
    return "-" if start is None else f"{max(0.0, end - start):.2f} s"
