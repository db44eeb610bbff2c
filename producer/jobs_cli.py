"""`agewell jobs` and `agewell dead`: many jobs at once, and those that were given up."""

import json
import time
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from producer import show
from producer.enqueue import Json
from producer.exits import ExitCode, exit_codes
from producer.session import Session, open_session
from producer.times import METAVAR, time_between
from shared.dead_letters import DeadLetters, Letter
from shared.entry import State

dead_app = typer.Typer(
    name="dead",
    help="See what was given up; send it again, or drop it.",
    no_args_is_help=True,
)

LetterIds = Annotated[list[str], typer.Argument(metavar="ID...", help="As `dead list` has them.")]

SHOWN_CHARACTERS = 60


def jobs(
    state: Annotated[
        list[State] | None, typer.Option("--state", "-s", help="Only these; may be repeated.")
    ] = None,
    since: Annotated[
        float | None,
        typer.Option(
            parser=time_between(),
            metavar=METAVAR,
            help="Only jobs whose state changed this recently.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="So many at most.")] = 50,
    as_json: Json = False,
) -> None:
    """List jobs, the latest first; how many are in each state stands below.

    Example: agewell jobs --state failed --state dead --since 1h
    """
    with exit_codes():
        session = open_session()
        after = session.now() - since if since is not None else 0.0
        entries = session.ledger.list(state or list(State), after, limit)
        if as_json:
            for entry in entries:
                show.json_line(show.entry_document(entry))
            return
        if entries:
            show.out.print(show.status_table(entries))
        counts = session.ledger.counts()
        show.note(", ".join(f"{count:,} {each.value}" for each, count in counts.items() if count))


@dead_app.command(name="list")
def list_letters(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="So many at most.")] = 100,
    as_json: Json = False,
) -> None:
    """List the dead letters, the latest first.

    Example: agewell dead list --json | jq -r .id
    """
    with exit_codes():
        letters = DeadLetters(open_session().client).list(limit)
        if as_json:
            for letter in letters:
                show.json_line(_document(letter))
        else:
            show.out.print(_table(letters))


@dead_app.command(name="show")
def show_letter(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="As `dead list` has it.")],
    as_json: Json = False,
) -> None:
    """Show all that is known of one: its message, why it was given up, where it ran.

    Example: agewell dead show f0918630-e7c0-4e93-8316-00b9d3a3c76e
    """
    with exit_codes():
        letter = DeadLetters(open_session().client).get(letter_id)
        if letter is None:
            _say_unknown(letter_id)
            raise typer.Exit(ExitCode.SOME_FAILED)
        if as_json:
            show.json_line(_document(letter))
        else:
            show.out.print_json(json.dumps(_document(letter)))


@dead_app.command()
def retry(ids: LetterIds, as_json: Json = False) -> None:
    """Send jobs again, under the same ids and as new ones; they leave the dead letters.

    Example: agewell dead retry f0918630-e7c0-4e93-8316-00b9d3a3c76e
    """
    with exit_codes():
        session = open_session()
        sent = [_retry(session, letter_id, as_json=as_json) for letter_id in ids]
        raise typer.Exit(ExitCode.DONE if all(sent) else ExitCode.SOME_FAILED)


def _retry(session: Session, letter_id: str, *, as_json: bool) -> bool:
    letters = DeadLetters(session.client)
    letter = letters.get(letter_id)
    if letter is None:
        _say_unknown(letter_id)
        return False
    if letter.task is None:
        show.error(f"{letter_id} is no job, but a message that none can be made of")
        return False
    session.ledger.forget(letter_id)
    session.app.send_task(
        letter.task,
        args=letter.args,
        task_id=letter_id,
        queue=letter.queue,
        priority=letter.level,
    )
    letters.drop(letter_id)
    _say(letter_id, "sent again", as_json=as_json)
    return True


@dead_app.command()
def drop(ids: LetterIds, as_json: Json = False) -> None:
    """Forget dead letters.

    Example: agewell dead drop f0918630-e7c0-4e93-8316-00b9d3a3c76e
    """
    with exit_codes():
        letters = DeadLetters(open_session().client)
        dropped = {letter_id: letters.drop(letter_id) for letter_id in ids}
        for letter_id, known in dropped.items():
            if known:
                _say(letter_id, "dropped", as_json=as_json)
            else:
                _say_unknown(letter_id)
        raise typer.Exit(ExitCode.DONE if all(dropped.values()) else ExitCode.SOME_FAILED)


def _document(letter: Letter) -> dict[str, Any]:
    return {
        "id": letter.letter_id,
        "at": letter.at,
        "reason": letter.reason,
        "queue": letter.queue,
        "task": letter.task,
        "level": letter.level,
        "args": letter.args,
        "message": letter.raw.decode(errors="replace") if letter.raw is not None else None,
        "history": [_run(line) for line in letter.history.splitlines()],
    }


def _run(line: str) -> dict[str, Any]:
    started_at, _, worker = line.partition(" ")
    return {"started_at": float(started_at) if started_at else None, "worker": worker}


def _table(letters: list[Letter]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("id", no_wrap=True, min_width=36)  # whole, to be copied
    for heading in ("given up", "queue", "task", "why"):
        table.add_column(heading)
    for letter in letters:
        table.add_row(
            letter.letter_id,
            f"{show.duration(max(0.0, time.time() - letter.at))} ago",
            letter.queue,
            letter.task or "no task",
            escape(letter.reason[:SHOWN_CHARACTERS]),
        )
    return table


def _say(letter_id: str, what: str, *, as_json: bool) -> None:
    if as_json:
        show.json_line({"id": letter_id, "done": what})
    else:
        show.out.print(f"{letter_id} {what}")


def _say_unknown(letter_id: str) -> None:
    show.error(f"{letter_id} is not among the dead letters")
