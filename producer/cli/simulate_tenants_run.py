"""Runs the simulation of tenants that `agewell simulate --tenant` asks for, and prints it."""

import math
from typing import Any

from agewell.producer.cli import terminal
from agewell.producer.cli.simulate_tables import seconds_text, waits_document, warn_of_overload
from agewell.producer.cli.simulate_tenants import TenantRequest
from agewell.producer.cli.tables import Column, print_table
from agewell.producer.simulate.report import Waits
from agewell.producer.simulate.tenant_jobs import tenant_arrivals
from agewell.producer.simulate.tenant_plot import write_tenant_plot
from agewell.producer.simulate.tenant_report import (
    TenantExperiment,
    TenantsSummary,
    TenantSummary,
)
from agewell.shared.errors import ParameterError
from agewell.shared.protocol.levels import level_label
from agewell.shared.text.units import duration

COLUMNS = (
    Column("order"),
    Column("tenant", flexible=True),
    Column("level", drop=2),
    Column("jobs", right=True, drop=1),
    Column("mean", right=True),
    Column("p95", right=True, drop=3),
    Column("p99", right=True),
    Column("share", right=True),
    Column("due", right=True),
    Column("behind", right=True, drop=4),
)


def simulate_tenants(request: TenantRequest) -> None:
    """Simulate, with a progress bar, draw the plot if one is wanted, and print the results."""
    warn_of_overload(request.load)
    experiment = _experiment(request)
    with terminal.show_progress() as progress:
        bar = progress.add_task("simulated", total=len(experiment.jobs))
        results = experiment.results(lambda come: progress.update(bar, completed=come))
        if request.plot is not None:
            write_tenant_plot(request.plot, results, experiment.sending_s)
    if request.as_json:
        for result in results:
            terminal.print_json(_document(result, request, experiment.sending_s))
        return
    print_table(terminal.out, COLUMNS, [row for each in results for row in _rows(each)])
    for result in results:
        terminal.out.print(_line(result, experiment.sending_s))


def _experiment(request: TenantRequest) -> TenantExperiment:
    """Make the jobs. If there are as many as there may be, the last one ends the sending time."""
    jobs = tenant_arrivals(request.streams, request.sending_s, request.jobs, request.seed)
    if not jobs:
        given = f"{request.sending_s:g}s"
        raise ParameterError("--for", given, "a longer time, as no tenant sends a job in this one")
    last_at = jobs[-1].job.arrived_at
    sending_s = last_at if len(jobs) == request.jobs and last_at > 0 else request.sending_s
    return TenantExperiment(
        jobs, request.streams, request.limits, request.policy, request.workers, sending_s
    )


def _document(result: TenantsSummary, request: TenantRequest, sending_s: float) -> dict[str, Any]:
    return {
        "order": result.order,
        "k_per_s": request.policy.k_per_s,
        "workers": request.workers,
        "load": request.load,
        "utilisation": result.utilisation,
        "sending_s": sending_s,
        "fairness": result.fairness,
        "tenants": [_tenant_document(name, each) for name, each in result.tenants.items()],
    }


def _tenant_document(name: str, found: TenantSummary) -> dict[str, Any]:
    return {
        "tenant": name,
        "weight": found.weight,
        "share": found.share,
        "due": found.due,
        "behind_s": found.lag_s,
        "waits_s": waits_document(found.waits),
    }


def _rows(result: TenantsSummary) -> list[list[str]]:
    """Return a row for each level of each tenant. A tenant's share stands in its first row."""
    rows = []
    for name, found in result.tenants.items():
        of_tenant = [f"{found.share:.1%}", f"{found.due:.1%}", seconds_text(found.lag_s)]
        if not found.waits:
            rows.append(["", name, "-", "0", "-", "-", "-", *of_tenant])
        for number, (level, waits) in enumerate(found.waits.items()):
            cells = [level_label(level), *_waits_cells(waits)]
            rows.append(["", name, *cells, *(of_tenant if number == 0 else ["", "", ""])])
    rows[0][0] = result.order
    return rows


def _waits_cells(waits: Waits) -> list[str]:
    return [f"{waits.jobs:,}", *map(seconds_text, (waits.mean, waits.p95, waits.p99))]


def _line(result: TenantsSummary, sending_s: float) -> str:
    fairness = math.floor(1000 * result.fairness) / 1000
    return (
        f"{result.order}: workers busy {result.utilisation:.0%}, Jain's index {fairness:.3f} "
        f"in {duration(sending_s)}"
    )
