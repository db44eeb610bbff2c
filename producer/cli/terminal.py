"""Prints results to stdout, and errors, notes and progress to stderr."""

import contextlib
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook
from rich.markup import escape
from rich.progress import Progress
from rich.segment import Segment

from agewell.producer.cli.predictions import prediction_table
from agewell.producer.cli.progress_bar import above_the_bar, bar_on
from agewell.producer.cli.tables import Column, print_table
from agewell.producer.receiving.outcome import Outcome
from agewell.shared.errors import AgewellError, BadFileError
from agewell.shared.protocol.levels import level_label
from agewell.shared.protocol.messages import ItemResult
from agewell.shared.queue.record import Record
from agewell.shared.text.printable import printable
from agewell.shared.text.units import duration

WIDTH_OF_FILES = 400
"""Width for pipes and files, in characters. No table is wider."""


class _Printable:
    """Wraps output to escape control characters, as file names and errors come from elsewhere."""

    def __init__(self, renderable: ConsoleRenderable) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for text, style, control in console.render(self._renderable, options):
            lines = "\n".join(map(printable, text.split("\n")))
            yield Segment(text if control else lines, style, control)


class _AllPrintable(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Printable(each) for each in renderables]


def _console(stream: TextIO | None, *, stderr: bool = False) -> Console:
    terminal = stream is not None and stream.isatty()
    width = None if terminal else WIDTH_OF_FILES
    console = Console(stderr=stderr, width=width, highlight=False, soft_wrap=terminal)
    console.push_render_hook(_AllPrintable())
    return console


out = _console(sys.stdout)
err = _console(sys.stderr, stderr=True)


def _plain(text: str) -> str:
    """Escape markup, control characters and line ends in a text from elsewhere."""
    return escape(printable(text))


def print_line(text: str) -> None:
    """Print a line to stdout."""
    with above_the_bar(out):
        out.file.write(printable(text) + "\n")


def print_error(message: str) -> None:
    """Print an error to stderr, as one line."""
    err.print(f"[bold red]error:[/] {_plain(message)}", soft_wrap=True)


def print_warning(message: str) -> None:
    """Print a warning to stderr, as one line."""
    err.print(f"[bold yellow]warning:[/] {_plain(message)}", soft_wrap=True)


def print_note(message: str) -> None:
    """Print a note to stderr, as one line."""
    err.print(_plain(message), soft_wrap=True)


def print_status(name: str, message: str) -> None:
    """Print an event of one part of the stack to stderr, as one line."""
    err.print(f"[bold]{_plain(name):>14}[/]  {_plain(message)}")


def print_json(document: dict[str, Any]) -> None:
    """Print a JSON document as one line to stdout, and flush it: a program may wait for it."""
    with above_the_bar(out):
        out.file.write(json.dumps(document) + "\n")
        out.file.flush()


def show_progress() -> contextlib.AbstractContextManager[Progress]:
    """Show a progress bar on stderr until the block ends, if stderr is a terminal."""
    return bar_on(err)


JOB_COLUMNS = (
    Column("job"),  # never cut, as people copy it
    Column("operation", drop=1),
    Column("level", drop=4),
    Column("state"),
    Column("images", right=True, drop=5),
    Column("failed", right=True, drop=6),
    Column("waited", right=True, drop=3),
    Column("ran", right=True, drop=2),
    Column("error", flexible=True),
)
TENANT_COLUMN = Column("tenant", drop=7)
"""Shown before the errors if a job has a tenant."""


def print_jobs(records: Iterable[Record]) -> None:
    """Print a table with one line per job."""
    now = time.time()
    shown = list(records)
    rows = [_job_cells(record, now) for record in shown]
    columns = list(JOB_COLUMNS)
    if any(record.tenant for record in shown):
        columns.insert(-1, TENANT_COLUMN)
        for row, record in zip(rows, shown, strict=True):
            row.insert(-1, record.tenant)
    print_table(out, columns, rows)


def _job_cells(record: Record, now: float) -> list[str]:
    return [
        record.job_id,
        record.op,
        level_label(record.level),
        _state(record, now),
        str(record.items),
        str(record.items_failed),
        duration(_seconds_between(record.enqueued_at, record.started_at or record.ended_at, now)),
        duration(_seconds_between(record.started_at, record.ended_at, now)),
        record.error,
    ]


def _state(record: Record, now: float) -> str:
    if record.is_scheduled(now) and record.due_at is not None:
        return f"due in {duration(record.due_at - now)}"
    if record.cancel_asked and not record.state.ended:
        return f"{record.state.value} (cancel asked)"
    if record.progress is not None:
        return f"{record.state.value}, {record.progress:.0%}"
    return record.state.value


def _seconds_between(start: float | None, end: float | None, now: float) -> float | None:
    return None if start is None else max(0.0, (end or now) - start)


def record_document(record: Record) -> dict[str, Any]:
    """Return a record as JSON values, with the field `id` as in all other documents."""
    fields = asdict(record)
    return {"id": fields.pop("job_id"), **fields}


def outcome_document(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as JSON values."""
    return {
        "id": outcome.job_id,
        "state": outcome.state.value,
        "items": [item.model_dump(mode="json", exclude_none=True) for item in outcome.items],
        "error": outcome.error and outcome.error.model_dump(mode="json"),
    }


def print_predictions(items: Iterable[ItemResult], *, header: bool) -> bool:
    """Print predictions, one line per class or box, the best first. False if there are none."""
    columns, rows = prediction_table(items)
    if rows:
        with above_the_bar(out):
            print_table(out, columns, rows, header=header)
    return bool(rows)


def print_failures(outcome: Outcome) -> int:
    """Print the errors of a job to stderr, and return their number."""
    if outcome.error is not None:
        print_error(f"job {outcome.job_id}: {outcome.error.message}")
        return 1
    failed: list[ItemResult] = [item for item in outcome.items if item.error is not None]
    for item in failed:
        if item.error is not None:
            print_error(f"job {outcome.job_id}: {item.error.message}")
    return len(failed)


def print_unwritten(job_id: str, failed: Sequence[tuple[Path, AgewellError]]) -> int:
    """Print the results that could not be written to stderr, and return their number."""
    for path, problem in failed:
        reason = problem.reason if isinstance(problem, BadFileError) else str(problem)
        print_error(f"job {job_id}: {path} not written: {reason}")
    return len(failed)


def print_unknown_job(job_id: str) -> None:
    """Print to stderr that a job is unknown."""
    print_error(f"job {job_id} is unknown: never sent here, or its record has expired")
