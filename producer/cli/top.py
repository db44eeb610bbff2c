"""`agewell top`: shows the queues live, with bars for the last looks at each level."""

import contextlib
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Annotated

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from agewell.producer.cli import terminal
from agewell.producer.cli.exit_codes import exit_codes
from agewell.producer.cli.options import METAVAR, time_between
from agewell.producer.cli.queues import QUEUE_COLUMNS, idle_cells, print_queues_json, queue_cells
from agewell.producer.cli.streams import stdout_error
from agewell.producer.cli.tables import Column, fitted
from agewell.producer.cli.tenant_tables import LOAD_COLUMNS, load_rows
from agewell.producer.session import Session, open_session
from agewell.shared.errors import ParameterError
from agewell.shared.protocol.levels import LEVELS, level_label
from agewell.shared.queue.started import Started, started
from agewell.shared.queue.status import LevelStatus, QueueStatus, queue_status
from agewell.shared.text.units import duration

BARS = " ▁▂▃▄▅▆▇█"
HISTORY = 40
LOOKS_NARROW, WIDE = 16, 110
"""Number of looks drawn on a terminal with fewer columns than WIDE."""

MOST_TENANTS = 5
"""How many tenants of a queue to name."""


@dataclass
class History:
    """The looks so far: the waiting jobs of each level, and the counters of started jobs."""

    waiting: dict[tuple[str, int], deque[int]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=HISTORY))
    )
    started: deque[tuple[float, Started]] = field(default_factory=lambda: deque(maxlen=11))

    def add(self, queues: list[QueueStatus], counters: Started) -> None:
        """Add one look, and drop the oldest one if there are too many."""
        for queue in queues:
            for each in queue.levels:
                self.waiting[each.queue, each.level].append(each.waiting)
        self.started.append((time.monotonic(), counters))


def run(session: Session, interval_s: float) -> None:
    """Look and draw until Ctrl-C, or until stdout is closed.

    A look takes seven round trips to Redis, for any number of waiting jobs and tenants.
    """
    history = History()
    with Live(console=terminal.out, screen=True, auto_refresh=False) as live:
        while stdout_error() is None:
            queues = queue_status(session.client, session.settings, session.now())
            history.add(queues, started(session.client))
            live.update(screen(queues, history, terminal.out.width), refresh=True)
            time.sleep(interval_s)


def follow(session: Session, interval_s: float) -> None:
    """Look and print JSON until Ctrl-C, or until stdout is closed."""
    while stdout_error() is None:
        print_queues_json(queue_status(session.client, session.settings, session.now()))
        time.sleep(interval_s)


def screen(queues: list[QueueStatus], history: History, width: int) -> Group:
    """Lay out the screen for the latest look."""
    parts: list[Text | Table] = [
        Text(f"agewell top  {time.strftime('%H:%M:%S')}  Ctrl-C leaves", style="bold"),
        Text(),
        _waiting_table(queues, history, width),
        Text(),
        _started_table(history),
    ]
    if tenants := load_rows(queues, MOST_TENANTS):
        parts += [Text(), fitted(LOAD_COLUMNS, tenants, width)]
    return Group(*parts)


def _waiting_table(queues: list[QueueStatus], history: History, width: int) -> Table:
    looks = HISTORY if width >= WIDE else LOOKS_NARROW
    rows: list[list[str]] = []
    for queue in queues:
        seen = [each for each in queue.levels if any(history.waiting[queue.queue, each.level])]
        rows += [
            [*queue_cells(queue, each, first=number == 0), _bars(history, each, looks)]
            for number, each in enumerate(seen)
        ]
        if not seen:
            rows.append([*idle_cells(queue), ""])
    return fitted([*QUEUE_COLUMNS, Column(f"last {looks} looks")], rows, width)


def _bars(history: History, level: LevelStatus, looks: int) -> str:
    """Draw one bar per look for the waiting jobs of a level. The highest bar has full height."""
    lengths = list(history.waiting[level.queue, level.level])[-looks:]
    top = max(1, *lengths)
    return "".join(BARS[-(-length * (len(BARS) - 1) // top)] for length in lengths)


def _started_table(history: History) -> Table:
    """Show how many jobs of each level started during the last looks, and their mean wait."""
    (then, before), (now, after) = history.started[0], history.started[-1]
    span_s = max(now - then, 1e-9)
    table = Table("level", box=None, pad_edge=False)
    for heading in ("started/s", "mean wait"):
        table.add_column(heading, justify="right")
    for level in LEVELS:
        jobs = after.jobs[level] - before.jobs[level]
        if jobs:
            wait_s = (after.waited_s[level] - before.waited_s[level]) / jobs
            table.add_row(level_label(level), f"{jobs / span_s:.1f}", duration(wait_s))
    if not table.row_count:
        table.add_row("-", "0", "-")
    return table


def top(
    interval: Annotated[
        float,
        typer.Option(
            parser=time_between(0.2, 60),
            metavar=METAVAR,
            help="Time between two looks at the queues, in seconds or such as 500ms.",
        ),
    ] = 1.0,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print one JSON document per queue and look, instead of the screen."
        ),
    ] = False,
) -> None:
    """Show the queues live: waiting jobs, waits, tenants, and how fast jobs start. Ctrl-C ends it.

    Example: agewell top --interval 0.5
    """
    with exit_codes(), contextlib.suppress(KeyboardInterrupt):
        if not (as_json or terminal.out.is_terminal):
            raise ParameterError("top", "in a pipe", "a terminal, or --json")
        (follow if as_json else run)(open_session(), interval)
