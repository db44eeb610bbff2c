"""The start page of the command line: the order of the commands in `--help`, and `--version`."""

import contextlib
import platform
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import typer
from pydantic import ValidationError
from typer.core import TyperGroup

from agewell.producer.cli import terminal
from agewell.shared.text.printable import printable
from agewell.shared.text.problems import first_problem

PANELS = {
    "Run jobs": ("up", "enqueue", "operations", "status", "result", "cancel"),
    "Watch": ("jobs", "queues", "top"),
    "Fix": ("doctor", "dead", "aging", "tenants"),
    "Models and planning": ("models", "simulate"),
}
"""The commands under each heading of `--help`, the most needed first."""


class FrontPage(TyperGroup):
    """The command group `agewell`, with its commands in the order of PANELS."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for panel, names in PANELS.items():
            for name in names:
                command: Any = self.commands[name]
                command.rich_help_panel = panel

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands in the order of `--help`."""
        del ctx
        return [name for names in PANELS.values() for name in names]

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command, which reads its own options here."""
        with _plain_words():
            return super().invoke(ctx)


@contextlib.contextmanager
def _plain_words() -> Iterator[None]:
    """Rewrite pydantic's errors, which Typer shows for bad options, in plain words."""
    try:
        yield
    except typer.BadParameter as error:
        if isinstance(error.__cause__, ValidationError):
            error.message = printable(first_problem(error.__cause__).line())
        raise


def print_version(wanted: bool) -> None:
    """Print the versions of agewell and of its main dependencies, and exit."""
    if not wanted:
        return
    parts = ", ".join(f"{name} {version(name)}" for name in ("celery", "kombu", "redis"))
    terminal.out.print(f"agewell {version('agewell')}")
    terminal.out.print(f"Python {platform.python_version()}, {parts}")
    raise typer.Exit
