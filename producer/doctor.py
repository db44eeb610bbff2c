"""`agewell doctor`: looks at every part, names what is wrong, and says what to do."""

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from producer import show
from producer.doctor_messages import check_messages
from producer.doctor_models import check_models, check_served_models
from producer.doctor_redis import Clock, answers, check_redis
from producer.doctor_stack import (
    check_blobs,
    check_dead_letters,
    check_gpu,
    check_workers,
)
from producer.exits import ExitCode, exit_codes
from producer.finding import Finding, Verdict, problem
from producer.session import make_session
from producer.tables import on_one_line
from shared.errors import BrokerUnreachableError
from shared.settings import Settings
from shared.state_dir import locate

_STYLES = {Verdict.OK: "green", Verdict.NOTE: "yellow", Verdict.PROBLEM: "bold red"}


def examine(settings: Settings, clock: Clock = time.time) -> Iterator[Finding]:
    """Look at every part, Redis first; without it the rest cannot be asked.

    Args:
        settings: as loaded.
        clock: this machine's; Unix time in seconds.
    """
    yield check_gpu()
    yield check_models(settings.models_dir)
    try:
        session = make_session(locate(settings))
    except BrokerUnreachableError as error:
        yield problem("redis", f"none is known: {error.reason}", "start it: `agewell up`")
        return
    yield from check_redis(session.settings, session.client, clock)
    if answers(session.client):
        yield check_blobs(session)
        yield check_messages(session)
        yield check_dead_letters(session)
        yield check_served_models(session)
        yield from check_workers(session)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document a check.")] = False,
) -> None:
    """Check every part, name what is wrong, and say what to do. Exits with 1 on a problem.

    Example: agewell doctor --json | jq 'select(.verdict == "problem")'
    """
    with exit_codes():
        found = []
        for finding in examine(Settings.load()):
            found.append(finding)
            if as_json:
                show.json_line(asdict(finding))
        if not as_json:
            _print(found)
        problems = [each for each in found if each.verdict is Verdict.PROBLEM]
        if not problems:
            raise typer.Exit(ExitCode.DONE)
        show.error(f"{show.count(len(problems), 'problem')}: {problems[0].check} first")
        unreachable = any(each.check == "redis" for each in problems)
        raise typer.Exit(ExitCode.UNREACHABLE if unreachable else ExitCode.SOME_FAILED)


def _print(findings: list[Finding]) -> None:
    """Whole lines in a pipe; on a terminal, long texts go on below their own beginning."""
    checks = max(len(each.check) for each in findings)
    for each in findings:
        head = Text.assemble(
            (f"{each.verdict:<7}", _STYLES[each.verdict]), f"  {each.check:<{checks}}  "
        )
        _print_line(head, each.found)
        if each.do:
            _print_line(Text(" " * head.cell_len), f"→ {each.do}")


def _print_line(head: Text, text: str) -> None:
    if not show.out.is_terminal:
        show.out.file.write(f"{head.plain}{on_one_line(text)}\n")
        return
    grid = Table.grid()
    grid.add_column(width=head.cell_len)
    grid.add_column(overflow="fold")
    grid.add_row(head, Text(on_one_line(text)))
    show.out.print(grid)
