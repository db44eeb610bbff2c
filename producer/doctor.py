"""`agewell doctor`: looks at every part, names what is wrong, and says what to do."""

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from producer import show
from producer.doctor_redis import Clock, answers, check_redis
from producer.doctor_stack import (
    check_blobs,
    check_gpu,
    check_messages,
    check_models,
    check_workers,
)
from producer.exits import ExitCode, exit_codes
from producer.finding import Finding, Verdict, problem
from producer.session import make_session
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
            show.out.print(_table(found))
        problems = [each for each in found if each.verdict is Verdict.PROBLEM]
        if not problems:
            raise typer.Exit(ExitCode.DONE)
        show.error(f"{show.count(len(problems), 'problem')}: {problems[0].check} first")
        unreachable = any(each.check == "redis" for each in problems)
        raise typer.Exit(ExitCode.UNREACHABLE if unreachable else ExitCode.SOME_FAILED)


def _table(findings: list[Finding]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for each in findings:
        style = _STYLES[each.verdict]
        table.add_row(f"[{style}]{each.verdict}[/]", each.check, escape(each.found))
        if each.do:
            table.add_row("", "", escape(f"→ {each.do}"))
    return table
