"""The front page of the command line: the order of the commands in `--help`, and `--version`."""

import platform
from importlib.metadata import version
from typing import Any

import typer
from typer.core import TyperGroup

from producer import show

PANELS = {
    "Run jobs": ("up", "enqueue", "status", "result", "cancel"),
    "Watch": ("jobs", "queues", "top"),
    "Fix": ("doctor", "dead"),
    "Models and planning": ("models", "simulate"),
}
"""Every command under the heading that `--help` shows it with, the most needed first."""


class FrontPage(TyperGroup):
    """The command `agewell`, with its commands in the order of PANELS."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for panel, names in PANELS.items():
            for name in names:
                command: Any = self.commands[name]
                command.rich_help_panel = panel

    def list_commands(self, ctx: Any) -> list[str]:
        """Name the commands in the order in which `--help` lists them."""
        del ctx
        return [name for names in PANELS.values() for name in names]


def print_version(wanted: bool) -> None:
    """Print agewell's version and those it depends on, and exit."""
    if not wanted:
        return
    parts = ", ".join(f"{name} {version(name)}" for name in ("celery", "kombu", "redis"))
    show.out.print(f"agewell {version('agewell')}")
    show.out.print(f"Python {platform.python_version()}, {parts}")
    raise typer.Exit
