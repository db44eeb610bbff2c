"""Report a benchmark's figures: as a table for people, and as JSON with the machine's data."""

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

OUTPUT = Path("bench-output")
WIDTH = 240
"""Characters of a line in a file or a pipe, so that no cell is cut off."""


@dataclass(frozen=True)
class Spread:
    """Several measurements of the same figure."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median, which is the figure to quote."""
        return statistics.median(self.values)

    def __str__(self) -> str:
        return f"{self.median:.3g} ({min(self.values):.3g}-{max(self.values):.3g})"


def machine() -> dict[str, Any]:
    """Return facts about the machine and the commit."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return {
        "cores": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "commit": commit.stdout.strip() or None,
    }


def report(name: str, title: str, rows: Sequence[dict[str, Any]]) -> None:
    """Print a table, and write the same figures to bench-output/NAME.json.

    Args:
        name: of the benchmark and of the file.
        title: of the table.
        rows: at least one, all with the same columns.
    """
    table = Table(title=title, title_justify="left")
    for heading in rows[0]:
        table.add_column(heading, justify="left" if isinstance(rows[0][heading], str) else "right")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    Console(soft_wrap=True, width=None if sys.stdout.isatty() else WIDTH).print(table)
    OUTPUT.mkdir(exist_ok=True)
    document = {"name": name, "machine": machine(), "rows": rows}
    path = OUTPUT / f"{name}.json"
    path.write_text(json.dumps(document, indent=2, default=_plain) + "\n")


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Spread):
        return {"median": value.median, "values": value.values}
    return str(value)
