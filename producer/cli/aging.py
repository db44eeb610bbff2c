"""`agewell aging`: shows and sets how fast waiting jobs gain weight."""

import math
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from agewell.producer.cli import terminal
from agewell.producer.cli.exit_codes import exit_codes
from agewell.producer.cli.options import Json, shown_as
from agewell.producer.cli.tables import Column, print_table
from agewell.producer.session import Session, open_session
from agewell.shared.errors import ParameterError
from agewell.shared.protocol.aging import STRICT_S
from agewell.shared.protocol.tasks import WORK_QUEUES
from agewell.shared.queue.aging_k import QueueAging, read_aging, return_to_settings, set_k
from agewell.shared.text.units import duration

LATE_S = 15.0
"""Print a note if the beat task has not run for this long."""

COLUMNS = (
    Column("queue"),
    Column("k per second", right=True),
    Column("a level is", right=True, drop=3),
    Column("set by"),
    Column("changed", right=True, drop=2),
    Column("re-scored", right=True),
    Column("last tick", right=True, drop=1),
)


def _read_k(value: Any) -> float:
    try:
        k_per_s = float(value)
    except ValueError:
        k_per_s = math.nan
    if not 0 <= k_per_s < math.inf:
        raise typer.BadParameter(f"{str(value)!r} is no rate per second; give a number, 0 or more")
    return k_per_s


_read_k.__name__ = "rate"


QueueName = Annotated[
    str | None,
    shown_as("QUEUE", "Only this queue: cv or infer. Default: both.", "--queue", "-q"),
]
NewK = Annotated[
    float | None,
    typer.Option(
        "--k",
        parser=_read_k,
        metavar="RATE",
        help="Set k, per second. With 0, levels are strict. Default: show k.",
    ),
]
Reset = Annotated[
    bool, typer.Option("--reset", help="Use k from the settings of the upkeep worker again.")
]


def aging(
    queue: QueueName = None, k: NewK = None, reset: Reset = False, as_json: Json = False
) -> None:
    """Show or set k, the rate at which waiting jobs gain weight, e^(k t).

    Your k holds for jobs that wait already, and after restarts too, until you use --k or --reset.

    Example: agewell aging --queue cv --k 0.1
    """
    with exit_codes():
        queues = _queues(queue)
        if k is not None and reset:
            raise ParameterError("--k", f"{k:g} with --reset", "one of the two")
        session = open_session()
        for each in queues:
            if k is not None:
                set_k(session.client, each, k, session.now(), by_operator=True)
            elif reset:
                return_to_settings(session.client, each)
        laws = [read_aging(session.client, session.settings, each) for each in queues]
        _print(session, laws, as_json=as_json)


def _queues(name: str | None) -> list[str]:
    known = [queue.value for queue in WORK_QUEUES]
    if name is None:
        return known
    if name not in known:
        raise ParameterError("--queue", name, " or ".join(known))
    return [name]


def _print(session: Session, laws: Sequence[QueueAging], *, as_json: bool) -> None:
    now = session.now()
    if as_json:
        for law in laws:
            terminal.print_json(_document(law, now))
    else:
        print_table(terminal.out, COLUMNS, [_cells(law, now) for law in laws])
    ticks = [law.last_tick_at for law in laws]
    if any(tick is None or now - tick > LATE_S for tick in ticks):
        terminal.print_note(
            "The beat task has not run lately. Until it does, waiting jobs keep their places, and "
            "--reset has no effect. Run `agewell doctor` to find out why."
        )


def _cells(law: QueueAging, now: float) -> list[str]:
    level_s = "strict" if law.k_per_s <= 1 / STRICT_S else duration(1 / law.k_per_s)
    rescored = "all" if law.rescored is None else f"{law.rescored:,} of {law.waiting:,}"
    return [
        law.queue,
        f"{law.k_per_s:g}",
        level_s,
        _setter(law),
        duration(_ago(law.since, now)),
        rescored,
        duration(_ago(law.last_tick_at, now)),
    ]


def _document(law: QueueAging, now: float) -> dict[str, Any]:
    return {
        "queue": law.queue,
        "k_per_s": law.k_per_s,
        "set_by": _setter(law),
        "changed_s_ago": _ago(law.since, now),
        "waiting": law.waiting,
        "is_rescored": law.rescored is None,
        "rescored": law.waiting if law.rescored is None else min(law.rescored, law.waiting),
        "last_tick_s_ago": _ago(law.last_tick_at, now),
    }


def _setter(law: QueueAging) -> str:
    return "operator" if law.set_by_operator else "settings"


def _ago(at: float | None, now: float) -> float | None:
    return None if at is None else max(0.0, now - at)
