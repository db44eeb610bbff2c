"""The options of `agewell simulate`, read and checked."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from agewell.producer.cli.options import METAVAR, shown_as, time_between, with_options
from agewell.producer.cli.simulate_tables import Scenario, Target, print_measured
from agewell.producer.cli.simulate_tenants import (
    TenantRequest,
    read_tenants,
    refuse_beside_tenants,
    sending_s_of,
)
from agewell.producer.cli.simulate_values import Law, read_rates, read_service, read_target
from agewell.producer.session import open_session
from agewell.producer.simulate.jobs import ServiceTime
from agewell.producer.simulate.measured import measure as measure_load
from agewell.producer.simulate.measured import workers_of
from agewell.producer.simulate.plot import require_matplotlib
from agewell.producer.simulate.report import Measure
from agewell.shared.errors import ParameterError
from agewell.shared.protocol.aging import AgingPolicy
from agewell.shared.settings import Settings

MAX_JOBS = 2_000_000

Rates = Annotated[
    list[str] | None,
    shown_as("LEVEL=PER_S", "Jobs per second of a level. Repeat it for each level."),
]
Tenants = Annotated[
    list[str] | None,
    shown_as(
        "NAME:KEY=VALUE,...",
        "Jobs of a tenant, instead of --rate: rate (per second) or burst (at the start), level, "
        "service, and its weight, max-running and limit (starts per second). Repeat it for each "
        "tenant. A team has weight, max-running and limit only.",
    ),
]
Sending = Annotated[
    float | None,
    typer.Option(
        "--for",
        parser=time_between(0.001),
        metavar=METAVAR,
        help="How long tenants send, and shares are compared. Default: as long as the bursts "
        "need, or until there are --jobs.",
    ),
]
Service = Annotated[
    str | None, shown_as("TIME|FILE", "Mean run time of a job, or a file with one time per line.")
]
MeasuredQueue = Annotated[
    str | None,
    shown_as(
        "QUEUE",
        "Measure rates, run times and workers of this queue in the last hour, unless they are "
        "given. Default: no.",
    ),
]
ServiceLaw = Annotated[
    Law,
    typer.Option(
        help="Distribution of run times around the mean. Times in a file are used as they are."
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, max=10_000, help="Number of jobs that run at a time. Default: 1."),
]
K = Annotated[
    float | None,
    typer.Option(help="Rate at which jobs gain weight, per second. Default: AGEWELL_AGING_K."),
]
Reserved = Annotated[
    int,
    typer.Option(
        min=0, max=10_000, help="Number of jobs that a worker holds beside the running one."
    ),
]
Jobs = Annotated[int, typer.Option(min=1, max=MAX_JOBS, help="Number of jobs to simulate.")]
Seed = Annotated[
    int, typer.Option(help="Seed of random numbers. The same seed gives the same jobs.")
]
Compare = Annotated[
    bool,
    typer.Option("--compare", help="Also simulate strict levels, and first come, first served."),
]
TargetWait = Annotated[
    str | None,
    shown_as("LEVEL=TIME", "Find the smallest k that keeps this wait. Default: use --k."),
]
TargetMeasure = Annotated[
    Measure, typer.Option(help="Which wait of the level to keep below the target.")
]
Plot = Annotated[
    Path | None,
    shown_as(
        "FILE",
        "Plot waits against k, or those of tenants over time, to a .png, .svg or .pdf file. "
        "Needs matplotlib.",
    ),
]
JsonOrders = Annotated[
    bool,
    typer.Option(
        "--json", help="Print one JSON document per order of service, instead of a table."
    ),
]


@dataclass(frozen=True)
class Request:
    """A simulation that the command line asks for.

    Attributes:
        scenario: the load, the workers and k.
        jobs: how many jobs to simulate.
        seed: the seed of the random numbers.
        reserved: jobs that a worker holds beyond the running one.
        compare: simulate strict levels and first come, first served too.
        target: the wait for which to search k; None: simulate the k of the scenario.
        plot: the file to draw the waits into, if one is wanted.
        as_json: print JSON documents instead of a table.
    """

    scenario: Scenario
    jobs: int
    seed: int
    reserved: int
    compare: bool
    target: Target | None
    plot: Path | None
    as_json: bool


def read_request(
    *,
    rate: Rates = None,
    tenant: Tenants = None,
    sending_s: Sending = None,
    service: Service = None,
    measured: MeasuredQueue = None,
    law: ServiceLaw = "exponential",
    workers: Workers = None,
    k: K = None,
    reserved: Reserved = 0,
    jobs: Jobs = 200_000,
    seed: Seed = 1,
    compare: Compare = False,
    target: TargetWait = None,
    measure: TargetMeasure = "longest",
    plot: Plot = None,
    as_json: JsonOrders = False,
) -> Request | TenantRequest:
    """Check the options, and measure the running system if `--measured` asks for it.

    Raises:
        ParameterError: a value is missing or not allowed.
        BrokerUnreachableError: `--measured` is given, and Redis does not answer.
    """
    if plot is not None:
        require_matplotlib(plot)
    if tenant:
        beside = {"--rate": rate, "--measured": measured, "--reserved": reserved}
        refuse_beside_tenants(beside | {"--compare": compare, "--target": target})
        streams, limits = read_tenants(tenant, service, law)
        sending_s = sending_s or sending_s_of(streams, workers or 1)
        return TenantRequest(
            streams, limits, _policy(k), workers or 1, jobs, sending_s, seed, plot, as_json
        )
    if sending_s is not None:
        raise ParameterError("--for", "given", "only with --tenant")
    rates = read_rates(rate or [])
    times = None if service is None else read_service(service, law)
    if measured is not None:
        rates, times, workers = _complete(measured, rates, times, workers)
    scenario = _scenario(rates, times, workers or 1, k)
    wanted = None if target is None else read_target(target, measure, scenario)
    return Request(scenario, jobs, seed, reserved, compare, wanted, plot, as_json)


with_request = with_options(read_request, "request")
"""Adds the options to the command, and passes them to it as its argument `request`."""


def _complete(
    queue: str, rates: dict[int, float], times: ServiceTime | None, workers: int | None
) -> tuple[dict[int, float], ServiceTime, int]:
    """Fill the gaps in the command line with measurements of the running system."""
    session = open_session()
    load = measure_load(session.client, queue, session.now())
    print_measured(load)
    return (
        rates or load.rates_per_s,
        load.service if times is None else times,
        workers_of(session.app, queue) if workers is None else workers,
    )


def _scenario(
    rates: dict[int, float],
    times: ServiceTime | None,
    workers: int,
    k: float | None,
) -> Scenario:
    if not rates or times is None:
        missing = "--service" if rates else "--rate"
        raise ParameterError(missing, "unset", "a value, or --measured QUEUE instead")
    return Scenario(rates, times, workers, _policy(k))


def _policy(k: float | None) -> AgingPolicy:
    settings = Settings.load()
    k = settings.aging_k if k is None else k
    if not 0 <= k < math.inf:
        raise ParameterError("--k", f"{k:g}", "0 (strict levels) or more, per second")
    return AgingPolicy(k)
