"""`agewell simulate`: what k, load and workers do to the waits of each level, before they do."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from agewell.producer.cli import terminal
from agewell.producer.cli.exit_codes import ExitCode, exit_codes
from agewell.producer.cli.simulate_tables import (
    Scenario,
    print_summaries,
    say_measured,
    say_no_difference,
    say_target,
    warn_of_overload,
)
from agewell.producer.session import open_session
from agewell.producer.simulate.jobs import Exponential, Fixed, Measured, ServiceTime, arrivals
from agewell.producer.simulate.measured import measure as measure_load
from agewell.producer.simulate.measured import workers_of
from agewell.producer.simulate.plot import require_matplotlib, write_plot
from agewell.producer.simulate.report import STRICT, Experiment, Measure, Summary, telling_ks
from agewell.shared.errors import ParameterError
from agewell.shared.protocol.aging import AgingPolicy
from agewell.shared.protocol.levels import level_from
from agewell.shared.settings import Settings
from agewell.shared.text.durations import parse_duration

MAX_JOBS = 2_000_000
PLOTTED_KS = 12

Law = Literal["exponential", "fixed"]


def simulate(
    rate: Annotated[
        list[str] | None,
        typer.Option(metavar="LEVEL=PER_S", help="Jobs a second of a level; once a level."),
    ] = None,
    service: Annotated[
        str | None,
        typer.Option(metavar="TIME|FILE", help="Mean time of a job, or a file: one time a line."),
    ] = None,
    measured: Annotated[
        str | None,
        typer.Option(
            metavar="QUEUE",
            help="Take the rates, times and workers of the last hour from the running system, "
            "as far as they are not given.",
        ),
    ] = None,
    law: Annotated[
        Law, typer.Option(help="How times vary around the mean; a file's are drawn as they are.")
    ] = "exponential",
    workers: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="Jobs that run at a time. Unset: 1.")
    ] = None,
    k: Annotated[float | None, typer.Option(help="Unset: AGEWELL_AGING_K.")] = None,
    reserved: Annotated[
        int,
        typer.Option(min=0, max=10_000, help="Jobs that a worker holds beyond the running one."),
    ] = 0,
    jobs: Annotated[int, typer.Option(min=1, max=MAX_JOBS, help="How many to simulate.")] = 200_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same jobs.")] = 1,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Beside aging: strict levels; first come, first served."),
    ] = False,
    target: Annotated[
        str | None,
        typer.Option(metavar="LEVEL=TIME", help="Find the smallest k that keeps this wait."),
    ] = None,
    measure: Annotated[
        Measure, typer.Option(help="Which wait of the level the target is for.")
    ] = "longest",
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Draw waits against k: .png, .svg, .pdf; needs matplotlib."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document an order of service, on stdout.")
    ] = False,
) -> None:
    """Simulate a queue: what jobs of each level would wait.

    Example: agewell simulate --rate urgent=2 --rate bulk=8 --service 0.08 --compare
    """
    with exit_codes():
        rates = _rates(rate or [])
        times = None if service is None else _service(service, law)
        if measured is not None:
            rates, times, workers = _complete(measured, rates, times, workers)
        scenario = _scenario(rates, times, workers or 1, k)
        wanted = None if target is None else _wanted(target, scenario)
        if plot is not None:
            require_matplotlib(plot)
        warn_of_overload(scenario)
        made = arrivals(scenario.rates_per_s, scenario.service, jobs, seed)
        with terminal.progress() as progress:
            bar = progress.add_task("simulated", total=None)
            experiment = Experiment(made, scenario.workers, reserved, lambda: progress.advance(bar))
            if wanted is None:
                chosen: Summary | None = experiment.under(scenario.policy)
            else:
                chosen = experiment.smallest_k(wanted[0], measure, wanted[1])
            if compare or plot is not None:
                others = (experiment.under(STRICT), experiment.under(None))
            if plot is not None:
                ks = telling_ks(*others, experiment.mean_service_s, PLOTTED_KS)
                aging = [experiment.under(AgingPolicy(each)) for each in ks]
                write_plot(plot, others[0], aging, others[1], scenario.load)
        found = [] if chosen is None else [chosen]
        if compare:
            found = [others[0], *(each for each in found if each.order != "strict"), others[1]]
        print_summaries(found, scenario, as_json)
        if compare and chosen is not None:
            say_no_difference(others[0], chosen)
        if target is not None and wanted is not None:
            say_target(chosen, target, wanted[0], measure)
        raise typer.Exit(ExitCode.SOME_FAILED if chosen is None else ExitCode.DONE)


def _complete(
    queue: str, rates: dict[int, float], times: ServiceTime | None, workers: int | None
) -> tuple[dict[int, float], ServiceTime, int]:
    """What was not given, as the running system has it."""
    session = open_session()
    load = measure_load(session.client, queue, session.now())
    say_measured(load)
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
    settings = Settings.load()
    k = settings.aging_k if k is None else k
    if not 0 <= k < math.inf:
        raise ParameterError("--k", f"{k:g}", "0 (strict levels) or more, per second")
    return Scenario(rates, times, workers, AgingPolicy(k))


def _rates(given: list[str]) -> dict[int, float]:
    rates_per_s: dict[int, float] = {}
    for text in given:
        level, per_s = _level_and("--rate", text, _positive, "LEVEL=NUMBER, jobs a second above 0")
        if level in rates_per_s:
            raise ParameterError("--rate", repr(text), "each level once")
        rates_per_s[level] = per_s
    return rates_per_s


def _wanted(target: str, scenario: Scenario) -> tuple[int, float]:
    level, seconds = _level_and("--target", target, _time, "LEVEL=TIME, above 0, such as bulk=5m")
    if level not in scenario.rates_per_s:
        raise ParameterError("--target", repr(target), "a level that has a --rate")
    return level, seconds


def _level_and(
    option: str, text: str, read: Callable[[str], float | None], allowed: str
) -> tuple[int, float]:
    level, _, given = text.partition("=")
    value = read(given)
    if value is None:
        raise ParameterError(option, repr(text), allowed)
    return level_from(level), value


def _positive(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < math.inf else None


def _time(text: str) -> float | None:
    try:
        return parse_duration(text) or None
    except ValueError:
        return None


def _service(text: str, law: Law) -> ServiceTime:
    mean_s = _time(text)
    if mean_s is None:
        return Measured(_times(Path(text)))
    return Exponential(mean_s) if law == "exponential" else Fixed(mean_s)


def _times(path: Path) -> tuple[float, ...]:
    allowed = "a time above 0, such as 80ms or 2s, or a file of times, one a line"
    try:
        lines = path.read_text().split()
    except (OSError, UnicodeDecodeError):
        raise ParameterError("--service", repr(str(path)), allowed) from None
    times = []
    for line in lines:
        seconds = _time(line)
        if seconds is None:
            raise ParameterError("--service", f"{line!r} in {path}", allowed)
        times.append(seconds)
    if not times:
        raise ParameterError("--service", f"{path}, which is empty", allowed)
    return tuple(times)
