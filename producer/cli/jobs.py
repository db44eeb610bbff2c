"""`agewell jobs`: lists jobs by state and time."""

from typing import Annotated

import typer

from agewell.producer.cli import terminal
from agewell.producer.cli.exit_codes import exit_codes
from agewell.producer.cli.options import METAVAR, Json, shown_as, time_between
from agewell.producer.session import open_session
from agewell.shared.protocol.tenants import check_tenant
from agewell.shared.queue.record import State
from agewell.shared.queue.tenant_search import LOOKED_AT

States = Annotated[
    list[State] | None,
    shown_as(
        "STATE",
        f"Only jobs in this state: {', '.join(State)}. May be repeated. Default: all.",
        "--state",
        "-s",
    ),
]
Since = Annotated[
    float | None,
    typer.Option(
        parser=time_between(),
        metavar=METAVAR,
        help="Only jobs whose state changed within this time, such as 1h. Default: all.",
    ),
]
Tenant = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Only jobs of this tenant, or of this team and its members, "
        f"among the latest {LOOKED_AT:,}. Default: all.",
        show_default=False,
    ),
]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="List at most this many jobs.")]


def jobs(
    state: States = None,
    since: Since = None,
    tenant: Tenant = "",
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List jobs, the latest first, and count the jobs in each state.

    Example: agewell jobs --state failed --state dead --since 1h
    """
    with exit_codes():
        session = open_session()
        after = session.now() - since if since is not None else 0.0
        name = check_tenant(tenant) if tenant else ""
        records = session.ledger.list(state or list(State), after, limit, name)
        if as_json:
            for record in records:
                terminal.print_json(terminal.record_document(record))
            return
        if records:
            terminal.print_jobs(records)
        counts = session.ledger.counts()
        terminal.print_note(
            ", ".join(f"{count:,} {each.value}" for each, count in counts.items() if count)
        )
