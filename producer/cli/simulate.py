"""`agewell simulate`: estimate waits under a load before you run it."""

from dataclasses import dataclass
from pathlib import Path

import typer

from agewell.producer.cli import terminal
from agewell.producer.cli.exit_codes import ExitCode
from agewell.producer.cli.simulate_options import Request, with_request
from agewell.producer.cli.simulate_tables import (
    print_no_difference,
    print_summaries,
    print_target,
    warn_of_overload,
)
from agewell.producer.cli.simulate_tenants import TenantRequest
from agewell.producer.cli.simulate_tenants_run import simulate_tenants
from agewell.producer.simulate.jobs import arrivals
from agewell.producer.simulate.plot import write_plot
from agewell.producer.simulate.report import STRICT, Experiment, Summary, telling_ks
from agewell.shared.protocol.aging import AgingPolicy

PLOTTED_KS = 12


@dataclass(frozen=True)
class Limits:
    """The two extremes of aging: strict levels, and first come, first served."""

    strict: Summary
    fifo: Summary


@dataclass(frozen=True)
class Findings:
    """Results of the simulations that one request needs.

    Attributes:
        chosen: under the k that was asked for, or the smallest k that keeps the target. None if no
            k keeps it.
        limits: None if neither a comparison nor a plot was asked for.
    """

    chosen: Summary | None
    limits: Limits | None


@with_request
def simulate(*, request: Request | TenantRequest) -> None:
    """Estimate the waits of jobs of each level or tenant under a load, by simulation.

    Example: agewell simulate --rate urgent=2 --rate bulk=8 --service 0.08 --compare
    """
    if isinstance(request, TenantRequest):
        simulate_tenants(request)
        return
    warn_of_overload(request.scenario.load)
    findings = _run(request)
    _print(findings, request)
    raise typer.Exit(ExitCode.SOME_FAILED if findings.chosen is None else ExitCode.DONE)


def _run(request: Request) -> Findings:
    """Simulate, with a progress bar, and draw the plot if one is wanted."""
    scenario = request.scenario
    made = arrivals(scenario.rates_per_s, scenario.service, request.jobs, request.seed)
    with terminal.show_progress() as progress:
        bar = progress.add_task("simulated", total=None)
        experiment = Experiment(
            made, scenario.workers, request.reserved, lambda: progress.advance(bar)
        )
        chosen = _chosen(experiment, request)
        if not request.compare and request.plot is None:
            return Findings(chosen, None)
        limits = Limits(experiment.under(STRICT), experiment.under(None))
        if request.plot is not None:
            _plot(request.plot, experiment, limits, scenario.load)
    return Findings(chosen, limits)


def _chosen(experiment: Experiment, request: Request) -> Summary | None:
    target = request.target
    if target is None:
        return experiment.under(request.scenario.policy)
    return experiment.smallest_k(target.level, target.measure, target.limit_s)


def _plot(path: Path, experiment: Experiment, limits: Limits, load: float) -> None:
    ks = telling_ks(limits.strict, limits.fifo, experiment.mean_service_s, PLOTTED_KS)
    aging = [experiment.under(AgingPolicy(k)) for k in ks]
    write_plot(path, limits.strict, aging, limits.fifo, load)


def _print(findings: Findings, request: Request) -> None:
    chosen, limits = findings.chosen, findings.limits
    shown = [] if chosen is None else [chosen]
    if request.compare and limits is not None:
        between = [each for each in shown if each.order != "strict"]
        shown = [limits.strict, *between, limits.fifo]
    print_summaries(shown, request.scenario, request.as_json)
    if request.compare and limits is not None and chosen is not None:
        print_no_difference(limits.strict, chosen)
    if request.target is not None:
        print_target(chosen, request.target)
