"""`agewell models`: lists, loads, unloads and activates models on the infer workers."""

from collections.abc import Iterable
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from agewell.producer.cli import terminal
from agewell.producer.cli.exit_codes import ExitCode, exit_codes
from agewell.producer.cli.model_problems import warn_of_problems
from agewell.producer.cli.options import METAVAR, Json, time_between
from agewell.producer.cli.tables import Column, print_table
from agewell.producer.sending.model_commands import Models, VersionOnWorkers
from agewell.producer.session import open_session
from agewell.shared.model_commands import Command, Reply, VersionStatus

models_app = typer.Typer(
    name="models", help="List, load, switch, export and train models.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the model.")]
Version = Annotated[
    str | None, typer.Argument(metavar="[VERSION]", help="Version. Default: the active one.")
]
VersionToUnload = Annotated[
    str | None, typer.Argument(metavar="[VERSION]", help="Version. Default: all versions.")
]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout",
        parser=time_between(1),
        metavar=METAVAR,
        help="How long to wait for each worker's answer, in seconds or such as 5m.",
    ),
]
LONG_S = 600.0

COLUMNS = (
    Column("model"),
    Column("version"),
    Column("task", drop=3),
    Column("kind", drop=2),
    Column("active"),
    Column("loaded", drop=1),
    Column("MB", right=True, drop=4),
    Column("runs on", drop=5),
    Column("about", flexible=True),
)


@models_app.command(name="list")
def list_models(as_json: Json = False) -> None:
    """List the models of the infer workers, and which versions are loaded and active.

    Example: agewell models list --json
    """
    with exit_codes():
        found = Models(open_session()).versions()
        if as_json:
            for each in found:
                terminal.print_json(_document(each))
        else:
            print_table(terminal.out, COLUMNS, [_cells(each) for each in found])


def _document(found: VersionOnWorkers) -> dict[str, Any]:
    counts = {"active": found.active_on, "loaded": found.loaded_on, "workers": found.workers}
    return found.status.model_dump(mode="json") | counts


def _cells(found: VersionOnWorkers) -> list[str]:
    status = found.status
    return [
        status.name,
        status.version,
        status.task,
        status.kind,
        _on(found.active_on, found.workers),
        _on(found.loaded_on, found.workers),
        f"{status.size_bytes / 1e6:.1f}" if status.size_bytes else "-",
        status.runs_on or "-",
        _about(status),
    ]


def _about(status: VersionStatus) -> str:
    if status.problem:
        return f"broken: {status.problem}"
    return f"warning: {status.warning}" if status.warning else status.description


def _on(count: int, workers: int) -> str:
    if count in (0, workers):
        return "yes" if count else "-"
    return f"{count} of {workers} workers"


@models_app.command()
def load(
    name: Name, version: Version = None, as_json: Json = False, timeout: Timeout = LONG_S
) -> None:
    """Load a version on every infer worker, and warm it up, without switching to it.

    Example: agewell models load digits 2
    """
    _call(Command(action="load", name=name, version=version), "loaded", timeout, as_json)


@models_app.command()
def unload(
    name: Name, version: VersionToUnload = None, as_json: Json = False, timeout: Timeout = 60.0
) -> None:
    """Remove a version, or all versions of a model, from the memory of every worker.

    Jobs that use it end first. A later job loads it again.

    Example: agewell models unload digits 1
    """
    _call(Command(action="unload", name=name, version=version), "unloaded", timeout, as_json)


@models_app.command()
def activate(
    name: Name,
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="Version for jobs that do not name one.")
    ],
    as_json: Json = False,
    timeout: Timeout = LONG_S,
) -> None:
    """Switch a model to a version on every worker, or on none if a worker refuses it.

    Running jobs end on the version with which they started.

    Example: agewell models activate digits 2
    """
    with exit_codes():
        replies = Models(open_session()).activate(name, version, timeout)
        _exit(_report("active", name, replies, as_json))


@models_app.command()
def info(name: Name, version: Version = None, as_json: Json = False) -> None:
    """Show the description of a version, its parameters, and its tap points.

    Example: agewell models info colorizer
    """
    with exit_codes():
        session = open_session()
        command = Command(action="info", name=name, version=version)
        reply = Models(session).ask_one(command, LONG_S)
        if reply.error is not None:
            terminal.print_error(reply.error.message)
            raise typer.Exit(ExitCode.SOME_FAILED)
        if as_json:
            terminal.print_json({"model": name, "version": reply.version, **reply.details})
        else:
            _show_info(name, reply)
        if version is None:
            warn_of_problems(session, name)


def _show_info(name: str, reply: Reply) -> None:
    details = dict(reply.details)
    taps = details.pop("tap_points", [])
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_row("model", f"{name}/{reply.version}")
    for key, value in (details.pop("spec") | details).items():
        if key not in ("name", "version"):
            table.add_row(key, escape(str(value)))
    table.add_row("tap points", "\n".join(taps) or "none")
    terminal.out.print(table)


def _call(command: Command, done: str, timeout_s: float, as_json: bool) -> None:
    """Send a command to every infer worker, report the answers, and exit."""
    with exit_codes():
        session = open_session()
        replies = Models(session).call(command, timeout_s)
        failed = _report(done, command.name, replies, as_json)
        if command.version is None and not failed:
            warn_of_problems(session, command.name)
        _exit(failed)


def _report(done: str, name: str, replies: Iterable[Reply], as_json: bool) -> bool:
    """Print one line for each worker's answer, and return True if one of them is an error."""
    failed = False
    for reply in replies:
        failed = failed or reply.error is not None
        if as_json:
            terminal.print_json(reply.model_dump(mode="json"))
        elif reply.error is not None:
            terminal.print_error(f"{reply.worker}: {reply.error.message}")
        else:
            unloaded = reply.details.get("unloaded")
            subject = f"{name}/{reply.version}" if unloaded is None else _unloaded(name, unloaded)
            terminal.print_line(f"{reply.worker}: {subject} {done}")
    return failed


def _exit(failed: bool) -> None:
    raise typer.Exit(ExitCode.SOME_FAILED if failed else ExitCode.DONE)


def _unloaded(name: str, versions: list[str]) -> str:
    return ", ".join(f"{name}/{each}" for each in versions) or f"nothing of {name}"
