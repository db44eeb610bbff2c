"""`agewell queues`: shows the waiting jobs. `agewell top` uses its rows too."""

import math
from collections.abc import Iterable
from dataclasses import asdict

from agewell.producer.cli import terminal
from agewell.producer.cli.exit_codes import exit_codes
from agewell.producer.cli.options import Json
from agewell.producer.cli.tables import Column, print_table
from agewell.producer.cli.tenant_tables import LOAD_COLUMNS, load_rows, prediction
from agewell.producer.session import open_session
from agewell.shared.protocol.levels import level_label
from agewell.shared.queue.status import LevelStatus, QueueStatus, queue_status
from agewell.shared.text.units import duration

QUEUE_COLUMNS = (
    Column("queue"),
    Column("level"),
    Column("waiting", right=True),
    Column("oldest wait", right=True),
    Column("predicted", right=True, drop=1),
    Column("weight", right=True, drop=4),
    Column("climbs/min", right=True, drop=3),
    Column("reserved", right=True, drop=2),
    Column("scheduled", right=True, drop=5),
)
"""Columns of `agewell queues` and `agewell top`."""


def queues(as_json: Json = False) -> None:
    """Show the waiting jobs of each queue, by level and tenant, and how long a job sent now waits.

    Example: agewell queues --json | jq '.queue, ([.levels[].waiting] | add)'
    """
    with exit_codes():
        session = open_session()
        found = queue_status(session.client, session.settings, session.now())
        if as_json:
            print_queues_json(found)
        else:
            print_queues(found)


def print_queues_json(queues: list[QueueStatus]) -> None:
    """Print one JSON document for each queue."""
    for queue in queues:
        terminal.print_json(asdict(queue))


def queue_cells(queue: QueueStatus, level: LevelStatus, *, first: bool) -> list[str]:
    """Make the row of a level. Only the first row of a queue has the values of the whole queue."""
    return [
        queue.queue if first else "",
        level_label(level.level),
        f"{level.waiting:,}",
        duration(level.oldest_wait_s),
        prediction(queue, level.predicted_wait_s),
        weight(level.head_log_weight),
        f"{level.climbs_per_minute:,.0f}",
        f"{queue.reserved:,}" if first else "",
        f"{queue.scheduled:,}" if first else "",
    ]


def idle_cells(queue: QueueStatus) -> list[str]:
    """Make the row of a queue without waiting jobs."""
    name, _, *rest = queue_cells(queue, queue.levels[0], first=True)
    return [name, "-", *rest]


def print_queues(queues: Iterable[QueueStatus]) -> None:
    """Print the waiting jobs per queue and level, and the tenants, without those that have none."""
    shown = list(queues)
    rows: list[list[str]] = []
    for queue in shown:
        levels = [each for each in queue.levels if each.waiting or each.climbs_per_minute >= 0.5]
        rows += [queue_cells(queue, each, first=number == 0) for number, each in enumerate(levels)]
        if not levels:
            rows.append(idle_cells(queue))
    print_table(terminal.out, QUEUE_COLUMNS, rows)
    if tenants := load_rows(shown):
        terminal.print_line("")
        print_table(terminal.out, LOAD_COLUMNS, tenants)


def weight(log_weight: float | None) -> str:
    """Format a weight as `1.65`, or as `e^12.3` if the plain number would be long."""
    if log_weight is None:
        return "-"
    return f"{math.exp(log_weight):.3g}" if abs(log_weight) < 7 else f"e^{log_weight:.1f}"
