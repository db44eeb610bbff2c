"""The rows of a job's page that are text: its record, and the parameters it was given."""

import re
import time
from dataclasses import dataclass, replace
from typing import Any

from shared.names import NAME_OF_LEVEL, OP_OF_TASK
from shared.queue.letter import Letter
from shared.queue.record import Record, State, record_of
from workers.dashboard.message import Waiting

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class Fact:
    """One row: a label, a text, and the colours that the text names."""

    label: str
    text: str
    colours: tuple[str, ...] = ()


def facts_of(entry: Record, now: float, model: str, given: dict[str, Any]) -> list[Fact]:
    """A job's record.

    Args:
        entry: the record.
        now: Unix time in seconds, by Redis's clock.
        model: the model that ran, and its version; empty if none has.
        given: the job's parameters.
    """
    failed = f", {entry.items_failed} failed" if entry.items_failed else ""
    waited_until = entry.started_at or entry.ended_at or now
    facts = [
        ("Job", entry.job_id),
        ("Operation", entry.op or "-"),
        ("Model", model or _model(given)),
        ("Level", _level(entry.level)),
        ("Items", f"{entry.items}{failed}" if entry.items else "-"),
        ("Enqueued", _clock(entry.enqueued_at)),
        ("Deadline", _clock(entry.deadline_at) if entry.deadline_at else ""),
        ("Started", _clock(entry.started_at)),
        ("Ended", _clock(entry.ended_at)),
        ("Waited", _seconds(entry.enqueued_at, waited_until)),
        ("Ran", _seconds(entry.started_at, entry.ended_at or now)),
        ("Worker", f"{entry.worker}, process {entry.pid}" if entry.worker else "-"),
    ]
    facts += [("Lost with its worker", each) for each in entry.history]
    facts.append(("Error", entry.error))
    return [Fact(label, text) for label, text in facts if text]


def given_facts(given: dict[str, Any]) -> list[Fact]:
    """A job's parameters; the model has a place of its own."""
    shown = {name: value for name, value in given.items() if name not in ("model", "version")}
    return [_given(name, value) for name, value in shown.items() if value not in ([], {}, "")]


def entry_of_waiting(job_id: str, found: Waiting) -> Record:
    """A record of a job that has none yet: a plain Celery program sent it."""
    fields = {"state": State.WAITING.value, "op": found.op}
    blank = record_of(job_id, {k.encode(): v.encode() for k, v in fields.items()}, 0.0)
    assert blank is not None  # noqa: S101 - it has a state
    return replace(
        blank,
        level=found.level,
        enqueued_at=found.enqueued_at,
        items=len(found.job.items) if found.job else 0,
        error=found.problem,
    )


def entry_of_letter(letter: Letter) -> Record:
    """A record of a dead letter that has none: a message that is no job, or one long given up."""
    fields = {"state": State.DEAD.value, "op": OP_OF_TASK.get(letter.task or "", "no job of ours")}
    blank = record_of(letter.letter_id, {k.encode(): v.encode() for k, v in fields.items()}, 0.0)
    assert blank is not None  # noqa: S101 - it has a state
    history = tuple(letter.history.splitlines())
    return replace(
        blank, level=letter.level, ended_at=letter.at, error=letter.reason, history=history
    )


def _model(given: dict[str, Any]) -> str:
    if "model" not in given:
        return ""
    version = given.get("version")
    return f"{given['model']}, {f'version {version}' if version else 'the active version'}"


def _given(name: str, value: Any) -> Fact:
    label = name.replace("_", " ").capitalize()
    if isinstance(value, dict):  # the output's format, and its quality
        return Fact(label, ", ".join(str(each) for each in value.values()))
    if isinstance(value, list):
        texts = [str(each) for each in value]
        colours = texts if all(map(_COLOUR.fullmatch, texts)) else []
        return Fact(label, ", ".join(texts), tuple(colours))
    return Fact(label, {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value))


def _level(level: int | None) -> str:
    return "-" if level is None else f"{level} {NAME_OF_LEVEL.get(level, '')}".rstrip()


def _clock(at: float | None) -> str:
    if at is None:
        return "-"
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))


def _seconds(start: float | None, end: float) -> str:
    return "-" if start is None else f"{max(0.0, end - start):.2f} s"
