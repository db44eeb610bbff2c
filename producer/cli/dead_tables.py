"""Output of dead letters: a table, the facts about one, and JSON."""

import time
from collections.abc import Iterable
from typing import Any

from rich.markup import escape
from rich.table import Table

from agewell.producer.cli import terminal
from agewell.producer.cli.tables import Column, print_table
from agewell.shared.protocol.levels import level_label
from agewell.shared.queue.letter import Letter, beginning, excerpt_of
from agewell.shared.text.units import duration

REASON_CHARACTERS = 300
COLUMNS = (
    Column("id"),  # never cut, as people copy it
    Column("given up", drop=2),
    Column("queue", drop=3),
    Column("task", drop=1),
    Column("why", flexible=True),
)


def document(letter: Letter) -> dict[str, Any]:
    """Return all fields of a dead letter as JSON values."""
    job = letter.job or {}
    return {
        "id": letter.letter_id,
        "at": letter.at,
        "reason": letter.reason,
        "queue": letter.queue,
        "task": letter.task,
        "level": letter.level,
        "args": letter.args,
        "kwargs": job.get("kwargs"),
        "options": job.get("options"),
        "message": letter.raw.decode(errors="replace") if letter.raw is not None else None,
        "size_bytes": letter.size_bytes,
        "named": letter.named,
        "history": [_run(line) for line in letter.history.splitlines()],
    }


def _run(line: str) -> dict[str, Any]:
    started_at, _, worker = line.partition(" ")
    return {"started_at": float(started_at) if started_at else None, "worker": worker}


def facts(letter: Letter) -> Table:
    """Summarise a dead letter in a table, without the bytes of its images."""
    shown = Table(box=None, pad_edge=False, show_header=False)
    shown.add_column(no_wrap=True)
    shown.add_column(overflow="fold")
    ago = duration(max(0.0, time.time() - letter.at))
    lines = [
        ("id", letter.letter_id),
        ("given up", f"{ago} ago"),
        ("why", beginning(letter.reason, REASON_CHARACTERS)),
    ]
    lines += [("queue", letter.queue), ("task", letter.task or letter.named.get("task", "-"))]
    lines += _message_facts(letter) if letter.job is None else _job_facts(letter)
    for line in letter.history.splitlines():
        run = _run(line)
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run["started_at"] or 0))
        lines.append(("ended with", f"{run['worker']}, started {at}"))
    for name, value in lines:
        shown.add_row(name, escape(value))
    return shown


def _job_facts(letter: Letter) -> list[tuple[str, str]]:
    options = (letter.job or {}).get("options") or {}
    then = [str(step.get("task")) for step in reversed(options.get("chain") or ())]
    then += [f"chord of {options['group_id']}"] if options.get("chord") else []
    return [
        ("level", level_label(letter.level)),
        ("arguments", ", ".join(beginning(str(each)) for each in letter.args or ())),
        ("then", ", ".join(then) or "-"),
    ]


def _message_facts(letter: Letter) -> list[tuple[str, str]]:
    named = [
        (f"its {name.replace('_', ' ')}", letter.named[name])
        for name in ("id", "reply_to")
        if name in letter.named
    ]
    begin = excerpt_of(letter.raw or b"")
    size = "not known" if letter.size_bytes is None else f"{letter.size_bytes:,} bytes"
    return [*named, ("size", size), ("begins with", begin)]


def print_letters(letters: Iterable[Letter]) -> None:
    """Print a table with one line per dead letter."""
    print_table(terminal.out, COLUMNS, [_cells(letter) for letter in letters])


def _cells(letter: Letter) -> list[str]:
    return [
        letter.letter_id,
        f"{duration(max(0.0, time.time() - letter.at))} ago",
        letter.queue,
        letter.task or _no_task(letter),
        beginning(letter.reason, REASON_CHARACTERS),
    ]


def _no_task(letter: Letter) -> str:
    """Describe a broken message."""
    task, job_id = (letter.named.get(name) for name in ("task", "id"))
    return f"no job: {task or 'no task'}, {job_id or 'no id'}"
