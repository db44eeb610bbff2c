"""How things look in the terminal: tables, bars, human units.

Results go to stdout, all else to stderr.
"""

import json
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from producer.outcome import Outcome
from producer.tables import Column, print_table
from shared.entry import Entry
from shared.messages import ItemResult
from shared.names import NAME_OF_LEVEL

IDS_SHOWN = 10

WIDTH_OF_FILES = 400
"""A pipe has no width of its own; this one cuts no table."""


def _console(stream: TextIO) -> Console:
    width = None if stream.isatty() else WIDTH_OF_FILES
    return Console(
        stderr=stream is sys.stderr, width=width, highlight=False, soft_wrap=stream.isatty()
    )


out = _console(sys.stdout)
err = _console(sys.stderr)


def error(message: str) -> None:
    """One line that something is wrong."""
    err.print(f"[bold red]error:[/] {escape(message)}")


def note(message: str) -> None:
    """One line about how things go."""
    err.print(escape(message))


def status(name: str, message: str) -> None:
    """One line about one part of the stack."""
    err.print(f"[bold]{escape(name):>14}[/]  {escape(message)}")


def json_line(document: dict[str, Any]) -> None:
    """One JSON document on one line of stdout, at once: a program may be reading along."""
    out.file.write(json.dumps(document) + "\n")
    out.file.flush()


def progress() -> Progress:
    """A progress bar on stderr; silent where that is no terminal."""
    return Progress(
        TextColumn("{task.description:>10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )


def level_name(level: int | None) -> str:
    """`5 normal`."""
    if level is None:
        return "-"
    return f"{level} {NAME_OF_LEVEL.get(level, '')}".rstrip()


def duration(seconds: float | None) -> str:
    """`0.4 s`, `2 min 5 s`, `3 h 4 min`."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def count(number: int, noun: str) -> str:
    """`1 job`, `1,000 jobs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def job_ids(ids: Iterable[str]) -> None:
    """Print ids, one a line: all of them to a pipe, the first few to a terminal."""
    shown = 0
    rest = 0
    for job_id in ids:
        if shown < IDS_SHOWN or not out.is_terminal:
            out.print(job_id)
            shown += 1
        else:
            rest += 1
    if rest:
        out.print(f"... and {rest:,} more (--json prints them all)")


JOB_COLUMNS = (
    Column("job"),  # whole, as people copy it
    Column("operation", drop=1),
    Column("level", drop=4),
    Column("state"),
    Column("images", right=True, drop=5),
    Column("failed", right=True, drop=6),
    Column("waited", right=True, drop=3),
    Column("ran", right=True, drop=2),
    Column("error", flexible=True),
)


def print_jobs(entries: Iterable[Entry]) -> None:
    """One line a job."""
    now = time.time()
    print_table(out, JOB_COLUMNS, [_job_cells(entry, now) for entry in entries])


def _job_cells(entry: Entry, now: float) -> list[str]:
    return [
        entry.job_id,
        entry.op,
        level_name(entry.level),
        _state(entry),
        str(entry.items),
        str(entry.items_failed),
        duration(_between(entry.enqueued_at, entry.started_at or entry.ended_at, now)),
        duration(_between(entry.started_at, entry.ended_at, now)),
        entry.error,
    ]


def _state(entry: Entry) -> str:
    if entry.cancel_asked and not entry.state.ended:
        return f"{entry.state.value} (cancel asked)"
    return entry.state.value


def _between(start: float | None, end: float | None, now: float) -> float | None:
    return None if start is None else max(0.0, (end or now) - start)


def entry_document(entry: Entry) -> dict[str, Any]:
    """A ledger entry as JSON values, its id named as in every other document."""
    fields = asdict(entry)
    return {"id": fields.pop("job_id"), **fields}


def outcome_document(outcome: Outcome) -> dict[str, Any]:
    """An outcome as JSON values."""
    return {
        "id": outcome.job_id,
        "state": outcome.state.value,
        "items": [item.model_dump(mode="json", exclude_none=True) for item in outcome.items],
        "error": outcome.error and outcome.error.model_dump(mode="json"),
    }


PREDICTION_COLUMNS = (
    Column("image", flexible=True),
    Column("label"),
    Column("probability", right=True),
    Column("model", drop=1),
)


def print_predictions(items: Iterable[ItemResult], *, header: bool) -> bool:
    """What models say of images: one line a class, the likeliest first. False if none said any."""
    rows: list[list[str]] = []
    for item in (each for each in items if each.prediction):
        name, model = (
            str(item.info.get("image", "")),
            f"{item.info['model']}/{item.info['version']}",
        )
        for label, probability in _predictions(item.prediction or {}):
            rows.append([name, label, probability, model])
            name = model = ""
    if rows:
        print_table(out, PREDICTION_COLUMNS, rows, header=header)
    return bool(rows)


def _predictions(values: dict[str, Any]) -> list[tuple[str, str]]:
    classes = values.get("classes")
    if isinstance(classes, list):
        return [(str(each["label"]), f"{each['probability']:.1%}") for each in classes]
    return [(f"{name}: {value}", "") for name, value in values.items()]


def failures(outcome: Outcome) -> int:
    """Name what failed in a job on stderr; how many items did."""
    if outcome.error is not None:
        error(f"job {outcome.job_id}: {outcome.error.message}")
        return 1
    failed: list[ItemResult] = [item for item in outcome.items if item.error is not None]
    for item in failed:
        if item.error is not None:
            error(f"job {outcome.job_id}: {item.error.message}")
    return len(failed)
