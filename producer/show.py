"""How things look in the terminal: tables, bars, human units.

Results go to stdout, all else to stderr.
"""

import json
import math
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from producer.outcome import Outcome
from shared.entry import Entry
from shared.messages import ItemResult
from shared.names import NAME_OF_LEVEL
from shared.queues import LevelStatus, QueueStatus

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


def queue_columns() -> Table:
    """A table for levels of queues."""
    table = Table("queue", "level", box=None, pad_edge=False)
    for heading in ("waiting", "oldest wait", "head's weight", "climbs/min", "reserved"):
        table.add_column(heading, justify="right")
    return table


def queue_cells(queue: QueueStatus, level: LevelStatus, *, first: bool) -> list[str]:
    """One level's row; what the queue's levels share stands in its first."""
    return [
        queue.queue if first else "",
        level_name(level.level),
        f"{level.waiting:,}",
        duration(level.oldest_wait_s),
        weight(level.head_log_weight),
        f"{level.climbs_per_minute:,.0f}",
        f"{queue.reserved:,}" if first else "",
    ]


def idle_cells(queue: QueueStatus) -> list[str]:
    """The row of a queue in which nothing waits."""
    name, _, *rest = queue_cells(queue, queue.levels[0], first=True)
    return [name, "-", *rest]


def queues_table(queues: Iterable[QueueStatus]) -> Table:
    """Waiting jobs per queue and level; levels where nothing is to be seen are left out."""
    table = queue_columns()
    for queue in queues:
        levels = [each for each in queue.levels if each.waiting or each.climbs_per_minute >= 0.5]
        for number, each in enumerate(levels):
            table.add_row(*queue_cells(queue, each, first=number == 0))
        if not levels:
            table.add_row(*idle_cells(queue))
    return table


def weight(log_weight: float | None) -> str:
    """`1.65`, or `e^12.3` where the plain number would be long."""
    if log_weight is None:
        return "-"
    return f"{math.exp(log_weight):.3g}" if abs(log_weight) < 7 else f"e^{log_weight:.1f}"


def status_table(entries: Iterable[Entry]) -> Table:
    """One row a job."""
    table = Table(box=None, pad_edge=False)
    table.add_column("job", no_wrap=True, min_width=36)  # whole, to be copied
    for heading in ("operation", "level", "state"):
        table.add_column(heading)
    for heading in ("images", "failed", "waited", "ran"):
        table.add_column(heading, justify="right")
    table.add_column("error")
    now = time.time()
    for entry in entries:
        table.add_row(
            entry.job_id,
            entry.op,
            level_name(entry.level),
            _state(entry),
            str(entry.items),
            str(entry.items_failed),
            duration(_between(entry.enqueued_at, entry.started_at or entry.ended_at, now)),
            duration(_between(entry.started_at, entry.ended_at, now)),
            escape(entry.error),
        )
    return table


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


def predictions_table(items: Iterable[ItemResult], *, header: bool) -> Table | None:
    """What models say of images: one row a class, the likeliest first; None where none said any."""
    found = [item for item in items if item.prediction]
    if not found:
        return None
    table = Table("image", "label", box=None, pad_edge=False, show_header=header)
    table.add_column("probability", justify="right")
    table.add_column("model")
    for item in found:
        name, model = (
            str(item.info.get("image", "")),
            f"{item.info['model']}/{item.info['version']}",
        )
        for label, probability in _predictions(item.prediction or {}):
            table.add_row(escape(name), escape(label), probability, model)
            name = model = ""
    return table


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
