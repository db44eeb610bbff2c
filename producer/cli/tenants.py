"""`agewell tenants`: shows and sets the shares and the limits of those for whom jobs run."""

import re
from typing import Annotated, Any

import redis
import typer

from agewell.producer.cli import terminal
from agewell.producer.cli.exit_codes import exit_codes
from agewell.producer.cli.options import Json
from agewell.producer.cli.tables import Column, print_table
from agewell.producer.cli.tenant_tables import PER_S, rate_text
from agewell.producer.session import open_session
from agewell.shared.errors import ParameterError
from agewell.shared.queue.tenants import (
    TenantLimits,
    TenantStatus,
    all_limits,
    set_limits,
    tenant_status,
    tenant_statuses,
)

tenants_app = typer.Typer(
    name="tenants",
    help="List tenants, and set their shares of the workers and their limits.",
    no_args_is_help=True,
)

SHOWN = 100
"""Tenants without limits to show, of each queue: those with the most waiting jobs."""

_RATE = re.compile(r"(\d+(?:\.\d+)?)(?:/([smhd]))?")

Name = Annotated[str, typer.Argument(metavar="NAME", help="A tenant, a team, or TEAM/USER.")]

COLUMNS = (
    Column("tenant", flexible=True),
    Column("weight", right=True),
    Column("most running", right=True, drop=2),
    Column("rate", right=True, drop=1),
    Column("waiting", right=True),
    Column("running", right=True),
)


def _read_rate(value: Any) -> float:
    found = _RATE.fullmatch(str(value))
    if not found:
        raise typer.BadParameter(f"{str(value)!r} is no rate; write 10/s, 100/m, 500/h or 5/d")
    return float(found[1]) / PER_S[found[2] or "s"]


_read_rate.__name__ = "rate"

Weight = Annotated[
    float | None,
    typer.Option(help="Share of the workers, compared with other tenants. Default: unchanged, 1."),
]
MaxRunning = Annotated[
    int | None,
    typer.Option(
        min=0, help="The most jobs that run at the same time. 0: no limit. Default: unchanged."
    ),
]
Rate = Annotated[
    float | None,
    typer.Option(
        parser=_read_rate,
        metavar="RATE",
        help="The most jobs that start: 10/s, 100/m, 500/h or 5/d. 0: no limit. "
        "Default: unchanged.",
    ),
]


@tenants_app.command(name="list")
def list_tenants(as_json: Json = False) -> None:
    """List the tenants and teams that have limits, and those with the most waiting jobs.

    Example: agewell tenants list
    """
    with exit_codes():
        _print(tenant_statuses(open_session().client, SHOWN), as_json=as_json)


def _print(found: list[TenantStatus], *, as_json: bool) -> None:
    if as_json:
        for each in found:
            terminal.print_json(_document(each))
    else:
        print_table(terminal.out, COLUMNS, [_cells(each) for each in found])


def _print_one(client: redis.Redis, name: str, *, as_json: bool) -> None:
    _print([tenant_status(client, name)], as_json=as_json)


def _document(found: TenantStatus) -> dict[str, Any]:
    limits = found.limits
    return {
        "tenant": found.name,
        "weight": limits.weight,
        "max_running": limits.max_running or None,
        "rate_per_s": limits.rate_per_s or None,
        "waiting": found.waiting,
        "running": found.running,
    }


def _cells(found: TenantStatus) -> list[str]:
    limits = found.limits
    return [
        found.name,
        f"{limits.weight:g}",
        str(limits.max_running or "-"),
        rate_text(limits.rate_per_s),
        f"{found.waiting:,}",
        f"{found.running:,}",
    ]


@tenants_app.command(name="set")
def set_tenant(
    name: Name,
    weight: Weight = None,
    max_running: MaxRunning = None,
    rate: Rate = None,
    as_json: Json = False,
) -> None:
    """Set the share or a limit of a tenant, from the next job on. A team's hold for its members.

    Example: agewell tenants set research --weight 2 --max-running 4 --rate 10/s
    """
    with exit_codes():
        if weight is None and max_running is None and rate is None:
            raise ParameterError("the options", "none", "--weight, --max-running or --rate")
        session = open_session()
        before = all_limits(session.client).get(name, TenantLimits())
        limits = TenantLimits(
            before.weight if weight is None else weight,
            before.max_running if max_running is None else max_running,
            before.rate_per_s if rate is None else rate,
        )
        set_limits(session.client, name, limits, session.now())
        _print_one(session.client, name, as_json=as_json)


@tenants_app.command()
def remove(name: Name, as_json: Json = False) -> None:
    """Remove the share and the limits of a tenant. Its jobs stay.

    Example: agewell tenants remove research
    """
    with exit_codes():
        session = open_session()
        if name not in all_limits(session.client):
            raise ParameterError("the tenant", repr(name), "one with limits, see `tenants list`")
        set_limits(session.client, name, None, session.now())
        _print_one(session.client, name, as_json=as_json)
