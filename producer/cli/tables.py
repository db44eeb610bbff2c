"""Tables that fit the terminal: each row is one line, and a narrow terminal gets fewer columns.

A pipe or a file has no width, so it gets every column in full, and `grep` finds all texts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agewell.shared.text.printable import printable

GAP = 2
"""Spaces between two columns."""

FLEXIBLE_MIN = 16
"""The smallest useful width of a column with shortened texts."""


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    heading: str
    right: bool = False
    drop: int = 0
    """0: always shown. On a narrow terminal, the column with the highest number goes first."""
    flexible: bool = False
    """Its texts are shortened to the room that the other columns leave. At most one per table."""


def fitted(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None) -> Table:
    """Make a table of the columns that fit.

    Args:
        columns: the columns, from left to right.
        rows: a text for each column. Control characters are shown escaped.
        width: the width of the terminal, in cells. None: no limit.

    Returns:
        A table with one line per row. It is wider than `width` only if the columns that are always
        shown need more. Ids are never cut, as people copy them.
    """
    texts = [[on_one_line(text) for text in row] for row in rows]
    shown = list(range(len(columns)))
    while width is not None and _needed(columns, texts, shown) > width:
        droppable = [number for number in shown if columns[number].drop]
        if not droppable:
            break
        shown.remove(max(droppable, key=lambda number: columns[number].drop))
    return _table(columns, texts, shown, width)


def print_table(
    console: Console,
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    *,
    header: bool = True,
) -> None:
    """Print a table that fits the terminal, or a whole table if the console is no terminal."""
    table = fitted(columns, rows, console.width if console.is_terminal else None)
    table.show_header = header
    wide = Console(
        file=console.file,
        width=max(1, _width(table)),
        force_terminal=console.is_terminal,
        color_system="auto" if console.is_terminal else None,
    )
    with wide.capture() as captured:
        wide.print(table)
    for line in captured.get().splitlines():
        console.file.write(line.rstrip() + "\n")


def on_one_line(text: str) -> str:
    """Put a text on one line, and escape control characters."""
    return printable(" ".join(text.split()) if any(each in text for each in "\n\r\t") else text)


def _natural(columns: Sequence[Column], texts: Sequence[Sequence[str]], number: int) -> int:
    cells = [columns[number].heading, *(row[number] for row in texts)]
    return max(map(cell_len, cells))


def _needed(columns: Sequence[Column], texts: Sequence[Sequence[str]], shown: list[int]) -> int:
    """Return the smallest width at which these columns can be read."""
    widths = [
        min(natural, FLEXIBLE_MIN) if columns[number].flexible else natural
        for number in shown
        for natural in [_natural(columns, texts, number)]
    ]
    return sum(widths) + GAP * (len(shown) - 1)


def _table(
    columns: Sequence[Column], texts: Sequence[Sequence[str]], shown: list[int], width: int | None
) -> Table:
    naturals = {number: _natural(columns, texts, number) for number in shown}
    over = 0 if width is None else sum(naturals.values()) + GAP * (len(shown) - 1) - width
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for number in shown:
        column, room = columns[number], naturals[number]
        if column.flexible and over > 0:
            room = max(min(room, cell_len(column.heading)), room - over)
        table.add_column(
            column.heading,
            justify="right" if column.right else "left",
            no_wrap=True,
            overflow="ellipsis",
            width=room,
        )
    for row in texts:
        table.add_row(*(Text(row[number]) for number in shown))
    return table


def _width(table: Table) -> int:
    return sum(column.width or 0 for column in table.columns) + GAP * (len(table.columns) - 1)
