"""The text rows of a job's page: its record, and its parameters."""

import re
import time
from dataclasses import dataclass
from typing import Any

from agewell.shared.protocol.levels import level_label
from agewell.shared.protocol.tasks import op_of_task
from agewell.shared.queue.letter import Letter
from agewell.shared.queue.record import Record, State

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class Fact:
    """One row: a label, a text, and the colours that are named in the text."""

    label: str
    text: str
    colours: tuple[str, ...] = ()


def facts_of(record: Record, now: float, model: str, given: dict[str, Any]) -> list[Fact]:
    """Return the rows of a job's record.

    Args:
        record: the record.
        now: Unix time in seconds, by Redis's clock.
        model: the model that ran and its version. Empty if none has run.
        given: the job's parameters.
    """
    failed = f", {record.items_failed} failed" if record.items_failed else ""
    is_scheduled = record.is_scheduled(now)
    is_waiting = record.state is State.WAITING
    waited_until = record.started_at or record.ended_at or now
    facts = [
        ("Job", record.job_id),
        ("Operation", record.op or "-"),
        ("Model", model or _model(given)),
        ("Level", level_label(record.level)),
        ("Tenant", record.tenant),
        ("Items", f"{record.items}{failed}" if record.items else "-"),
        ("Enqueued", _clock(record.enqueued_at)),
        ("Deadline", _clock(record.deadline_at) if record.deadline_at else ""),
        ("Due", _clock(record.due_at) if is_scheduled else ""),
        ("Started", _clock(record.started_at)),
        ("Ended", _clock(record.ended_at)),
        ("Waited", "-" if is_scheduled else _seconds(record.enqueued_at, waited_until)),
        ("Ran", "-" if is_waiting else _seconds(record.started_at, record.ended_at or now)),
        ("Done", "" if record.progress is None else f"{record.progress:.0%}"),
        ("Worker", _worker(record)),
    ]
    facts += [("Lost delivery", each) for each in record.history]
    facts.append(("Error", record.error))
    return [Fact(label, text) for label, text in facts if text]


def shown_state(record: Record, now: float) -> str:
    """Return the state that a job's page shows: the record's state, or "scheduled"."""
    return "scheduled" if record.is_scheduled(now) else record.state.value


def given_facts(given: dict[str, Any]) -> list[Fact]:
    """Return the rows of a job's parameters, without the model, which has its own row."""
    shown = {name: value for name, value in given.items() if name not in ("model", "version")}
    return [_parameter(name, value) for name, value in shown.items() if value not in ([], {}, "")]


def record_of_letter(letter: Letter) -> Record:
    """Make a record for a dead letter that has none.

    Its message was not a job, or its record has expired.
    """
    return Record(
        job_id=letter.letter_id,
        state=State.DEAD,
        op=op_of_task(letter.task) or "unknown task",
        level=letter.level,
        ended_at=letter.at,
        error=letter.reason,
        history=tuple(letter.history.splitlines()),
    )


def _model(given: dict[str, Any]) -> str:
    if "model" not in given:
        return ""
    version = given.get("version")
    return f"{given['model']}, {f'version {version}' if version else 'the active version'}"


def _parameter(name: str, value: Any) -> Fact:
    label = name.replace("_", " ").capitalize()
    if isinstance(value, dict):  # the output's format, and its quality
        return Fact(label, ", ".join(str(each) for each in value.values()))
    if isinstance(value, list):
        texts = [str(each) for each in value]
        colours = texts if all(map(_COLOUR.fullmatch, texts)) else []
        return Fact(label, ", ".join(texts), tuple(colours))
    return Fact(label, {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value))


def _worker(record: Record) -> str:
    process = f", process {record.pid}" if record.pid is not None else ""
    return f"{record.worker}{process}" if record.worker else "-"


def _clock(at: float | None) -> str:
    if at is None:
        return "-"
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))


def _seconds(start: float | None, end: float) -> str:
    return "-" if start is None else f"{max(0.0, end - start):.2f} s"
