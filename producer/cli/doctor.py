"""`agewell doctor`: checks every part, names problems, and says how to fix them."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from agewell.producer.cli import terminal
from agewell.producer.cli.exit_codes import ExitCode, exit_codes
from agewell.producer.cli.tables import on_one_line
from agewell.producer.doctor.examine import examine
from agewell.producer.doctor.finding import Finding, Verdict
from agewell.shared.settings import Settings
from agewell.shared.text.units import count

_STYLES = {Verdict.OK: "green", Verdict.NOTE: "yellow", Verdict.PROBLEM: "bold red"}


def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document per check, instead of text.")
    ] = False,
) -> None:
    """Check every part, and say how to fix problems. Exits with 1 if there is one.

    Example: agewell doctor --json | jq 'select(.verdict == "problem")'
    """
    with exit_codes():
        found = []
        for finding in examine(Settings.load()):
            found.append(finding)
            if as_json:
                terminal.print_json(asdict(finding))
        if not as_json:
            _print(found)
        problems = [each for each in found if each.verdict is Verdict.PROBLEM]
        if not problems:
            raise typer.Exit(ExitCode.DONE)
        terminal.print_error(f"{count(len(problems), 'problem')}: {problems[0].check} first")
        unreachable = any(each.check == "redis" for each in problems)
        raise typer.Exit(ExitCode.UNREACHABLE if unreachable else ExitCode.SOME_FAILED)


def _print(findings: list[Finding]) -> None:
    """Print findings: one line each in a pipe, and with wrapped texts on a terminal."""
    checks = max(len(each.check) for each in findings)
    for each in findings:
        head = Text.assemble(
            (f"{each.verdict:<7}", _STYLES[each.verdict]), f"  {each.check:<{checks}}  "
        )
        _print_line(head, each.found)
        if each.do:
            _print_line(Text(" " * head.cell_len), f"→ {each.do}")


def _print_line(head: Text, text: str) -> None:
    if not terminal.out.is_terminal:
        terminal.out.file.write(f"{head.plain}{on_one_line(text)}\n")
        return
    grid = Table.grid()
    grid.add_column(width=head.cell_len)
    grid.add_column(overflow="fold")
    grid.add_row(head, Text(on_one_line(text)))
    terminal.out.print(grid)
