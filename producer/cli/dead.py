"""`agewell dead`: shows, retries and drops dead letters."""

import sys
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from agewell.producer.cli import terminal
from agewell.producer.cli.dead_tables import document, facts, print_letters
from agewell.producer.cli.exit_codes import ExitCode, exit_codes
from agewell.producer.cli.options import Json, shown_as
from agewell.producer.sending.retry_dead import Resender
from agewell.producer.session import Session, open_session
from agewell.shared.errors import LostJobError, ParameterError
from agewell.shared.protocol.tasks import op_of_task, task_of
from agewell.shared.queue.dead_letters import DeadLetters
from agewell.shared.queue.letter import Letter
from agewell.shared.text.units import count

dead_app = typer.Typer(
    name="dead",
    help="See, retry or drop dead letters: jobs agewell gave up on, and broken messages.",
    no_args_is_help=True,
)

LetterIds = Annotated[
    list[str], typer.Argument(metavar="ID", help="Ids of dead letters, see `agewell dead list`.")
]


@dead_app.command(name="list")
def list_letters(
    limit: Annotated[
        int, typer.Option(min=1, max=10_000, help="List at most this many dead letters.")
    ] = 100,
    as_json: Json = False,
) -> None:
    """List the dead letters, the latest first.

    Example: agewell dead list --json | jq -r .id
    """
    with exit_codes():
        letters = DeadLetters(open_session().client).latest(limit)
        if as_json:
            for letter in letters:
                terminal.print_json(document(letter))
        else:
            print_letters(letters)


@dead_app.command(name="show")
def show_letter(
    letter_id: Annotated[
        str, typer.Argument(metavar="ID", help="Id of a dead letter, see `agewell dead list`.")
    ],
    as_json: Json = False,
) -> None:
    """Show one dead letter: the reason, the workers that ran it, and with --json its message.

    Example: agewell dead show f0918630-e7c0-4e93-8316-00b9d3a3c76e
    """
    with exit_codes():
        letter = DeadLetters(open_session().client).get(letter_id)
        if letter is None:
            _print_unknown(letter_id)
            raise typer.Exit(ExitCode.SOME_FAILED)
        if as_json:
            terminal.print_json(document(letter))
        else:
            terminal.out.print(facts(letter))


OptionalIds = Annotated[
    list[str] | None,
    typer.Argument(metavar="ID", help="Ids of dead letters, see `agewell dead list`."),
]
Every = Annotated[
    bool,
    typer.Option(
        "--all", help="Retry all dead letters that the filters below match, instead of ids."
    ),
]
Reason = Annotated[
    str | None,
    shown_as("TEXT", "With --all: only letters whose reason has this text. Default: all."),
]
Operation = Annotated[
    str | None,
    shown_as("OP", "With --all: only jobs of this operation. Default: all.", "--operation"),
]


@dead_app.command()
def retry(
    ids: OptionalIds = None,
    every: Every = False,
    reason: Reason = None,
    op: Operation = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    as_json: Json = False,
) -> None:
    """Send dead letters again as new jobs with the same ids.

    Example: agewell dead retry --all --reason "blob store"
    """
    with exit_codes():
        if bool(ids) == every or (not every and (reason or op)):
            raise ParameterError("ID...", "not clear", "either ids, or --all with its filters")
        if op is not None and op_of_task(task_of(op)) is None:
            raise ParameterError("--operation", repr(op), "the name of an operation, such as hsv")
        session = open_session()
        if every:
            _retry_all(session, reason or "", op, ask=not yes and sys.stdin.isatty(), json=as_json)
        else:
            _retry_some(session, ids or [], as_json=as_json)


def _retry_some(session: Session, ids: Sequence[str], *, as_json: bool) -> None:
    known = {each.letter_id: each for each in DeadLetters(session.client).get_all(ids)}
    sent = set()
    for letter_id in Resender(session).resend(
        [each for each in known.values() if _can_be_sent(each)]
    ):
        sent.add(letter_id)
        _print_done(letter_id, "sent again", as_json=as_json)
    for letter_id in ids:
        if letter_id not in sent:
            terminal.print_error(_why_not(letter_id, known.get(letter_id)))
    raise typer.Exit(ExitCode.DONE if sent >= set(ids) else ExitCode.SOME_FAILED)


def _can_be_sent(letter: Letter) -> bool:
    return letter.job is not None and op_of_task(letter.task) is not None


def _why_not(letter_id: str, letter: Letter | None) -> str:
    if letter is None:
        return f"{letter_id} is not among the dead letters"
    if not letter.is_job:
        return f"{letter_id} is a broken message and no job; you can only drop it"
    if letter.job is None:
        return (
            f"{letter_id} cannot be sent again: its message was too large to keep; send a new job"
        )
    if op_of_task(letter.task) is None:
        return (
            f"{letter_id} cannot be sent again: this version of agewell has no task {letter.task}"
        )
    return f"{letter_id} was not sent: it was sent again before, or is being sent now"


def _retry_all(session: Session, reason: str, op: str | None, *, ask: bool, json: bool) -> None:
    started = session.now()
    if ask:
        found = sum(len(page) for page in _matching(session, reason, op, started))
        typer.confirm(f"Send {count(found, 'job')} again?", abort=True, err=True)
    resender, sent = Resender(session), 0
    try:
        for page in _matching(session, reason, op, started):
            for letter_id in resender.resend(page):
                sent += 1
                if json:
                    _print_done(letter_id, "sent again", as_json=True)
    finally:
        terminal.print_note(f"{count(sent, 'job')} sent again")


def _matching(
    session: Session, reason: str, op: str | None, before: float
) -> Iterator[list[Letter]]:
    """Find the dead jobs that match the filters and died before a time, page by page."""
    for page in DeadLetters(session.client).pages():
        yield [
            letter
            for letter in page
            if _can_be_sent(letter)
            and letter.at <= before
            and reason.lower() in letter.reason.lower()
            and op in (None, op_of_task(letter.task))
        ]


@dead_app.command()
def drop(ids: LetterIds, as_json: Json = False) -> None:
    """Delete dead letters. A chord that waits for one of them fails.

    Example: agewell dead drop f0918630-e7c0-4e93-8316-00b9d3a3c76e
    """
    with exit_codes():
        session = open_session()
        dropped = {letter_id: _drop(session, letter_id) for letter_id in ids}
        for letter_id, known in dropped.items():
            if known:
                _print_done(letter_id, "dropped", as_json=as_json)
            else:
                _print_unknown(letter_id)
        raise typer.Exit(ExitCode.DONE if all(dropped.values()) else ExitCode.SOME_FAILED)


def _drop(session: Session, letter_id: str) -> bool:
    letters = DeadLetters(session.client)
    letter = letters.get(letter_id)
    if letter is None or not letters.drop(letter_id):
        return False
    if letter.job is not None:
        session.app.backend.fail_chords(letter.job, LostJobError("dropped from the dead letters"))
    return True


def _print_done(letter_id: str, done: str, *, as_json: bool) -> None:
    if as_json:
        terminal.print_json({"id": letter_id, "done": done})
    else:
        terminal.print_line(f"{letter_id} {done}")


def _print_unknown(letter_id: str) -> None:
    terminal.print_error(f"{letter_id} is not among the dead letters")
