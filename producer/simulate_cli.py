"""`agewell simulate`: what k, load and workers do to the waits of each level, before they do."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from producer import show
from producer.enqueue import Json
from producer.exits import ExitCode, exit_codes
from producer.simulate_jobs import Exponential, Fixed, Measured, ServiceTime, arrivals
from producer.simulate_plot import require_matplotlib, write_plot
from producer.simulate_report import STRICT, Experiment, Measure, Summary, telling_ks
from shared.aging import AgingPolicy
from shared.errors import ParameterError
from shared.names import NAME_OF_LEVEL, level_from
from shared.settings import Settings

MAX_JOBS = 2_000_000
PLOTTED_KS = 12
BAR_WIDTH = 16

Law = Literal["exponential", "fixed"]


@dataclass(frozen=True)
class Scenario:
    """What is simulated, as the command line said."""

    rates_per_s: dict[int, float]
    service: ServiceTime
    workers: int
    policy: AgingPolicy
    interval_s: float

    @property
    def load(self) -> float:
        """The part of the workers' time that the jobs ask for."""
        return math.fsum(self.rates_per_s.values()) * self.service.mean_s / self.workers


def simulate(
    rate: Annotated[
        list[str],
        typer.Option(metavar="LEVEL=PER_S", help="Jobs a second of a level; once a level."),
    ],
    service: Annotated[
        str,
        typer.Option(
            metavar="SECONDS|FILE", help="Mean time of a job, or a file: one time a line."
        ),
    ],
    law: Annotated[
        Law, typer.Option(help="How times vary around the mean; a file's are drawn as they are.")
    ] = "exponential",
    workers: Annotated[int, typer.Option(min=1, max=10_000, help="Jobs that run at a time.")] = 1,
    k: Annotated[float | None, typer.Option(help="Unset: AGEWELL_AGING_K.")] = None,
    interval: Annotated[
        float | None, typer.Option(help="Seconds between sweeps. Unset: AGEWELL_AGING_INTERVAL_S.")
    ] = None,
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
        typer.Option(metavar="LEVEL=SECONDS", help="Find the smallest k that keeps this wait."),
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
    as_json: Json = False,
) -> None:
    """Simulate a queue: what jobs of each level would wait.

    Example: agewell simulate --rate urgent=2 --rate bulk=8 --service 0.08 --compare
    """
    with exit_codes():
        scenario = _scenario(rate, service, law, workers, k, interval)
        wanted = None if target is None else _wanted(target, scenario)
        if plot is not None:
            require_matplotlib(plot)
        _warn_of_overload(scenario)
        made = arrivals(scenario.rates_per_s, scenario.service, jobs, seed)
        with show.progress() as progress:
            bar = progress.add_task("simulated", total=None)
            experiment = Experiment(
                made, workers, scenario.interval_s, reserved, lambda: progress.advance(bar)
            )
            if wanted is None:
                chosen: Summary | None = experiment.under(scenario.policy)
            else:
                chosen = experiment.smallest_k(wanted[0], measure, wanted[1])
            if compare or plot is not None:
                others = (experiment.under(STRICT), experiment.under(None))
            if plot is not None:
                ks = telling_ks(*others, scenario.interval_s, PLOTTED_KS)
                aging = [experiment.under(AgingPolicy(each)) for each in ks]
                write_plot(plot, others[0], aging, others[1], scenario.load)
        found = [] if chosen is None else [chosen]
        if compare:
            found = [others[0], *found, others[1]]
        _print(found, scenario, as_json)
        if target is not None:
            _say_target(chosen, target, measure)
        raise typer.Exit(ExitCode.SOME_FAILED if chosen is None else ExitCode.DONE)


def _scenario(
    rates: list[str], service: str, law: Law, workers: int, k: float | None, interval: float | None
) -> Scenario:
    settings = Settings.load()
    k = settings.aging_k if k is None else k
    interval = settings.aging_interval_s if interval is None else interval
    if not 0 <= k < math.inf:
        raise ParameterError("--k", f"{k:g}", "0 (strict levels) or more, per second")
    if not 0 < interval < math.inf:
        raise ParameterError("--interval", f"{interval:g}", "more than 0, in seconds")
    rates_per_s: dict[int, float] = {}
    for text in rates:
        level, per_s = _level_and_number("--rate", text, "jobs a second")
        if level in rates_per_s:
            raise ParameterError("--rate", repr(text), "each level once")
        rates_per_s[level] = per_s
    return Scenario(rates_per_s, _service(service, law), workers, AgingPolicy(k), interval)


def _wanted(target: str, scenario: Scenario) -> tuple[int, float]:
    level, seconds = _level_and_number("--target", target, "seconds")
    if level not in scenario.rates_per_s:
        raise ParameterError("--target", repr(target), "a level that has a --rate")
    return level, seconds


def _level_and_number(option: str, text: str, unit: str) -> tuple[int, float]:
    level, _, number = text.partition("=")
    value = _positive(number)
    if value is None:
        raise ParameterError(option, repr(text), f"LEVEL=NUMBER, a number of {unit} above 0")
    return level_from(level), value


def _positive(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < math.inf else None


def _service(text: str, law: Law) -> ServiceTime:
    try:
        mean_s = float(text)
    except ValueError:
        return Measured(_times(Path(text)))
    if not 0 < mean_s < math.inf:
        raise ParameterError("--service", text, "more than 0, in seconds")
    return Exponential(mean_s) if law == "exponential" else Fixed(mean_s)


def _times(path: Path) -> tuple[float, ...]:
    allowed = "seconds above 0, or a file of them, one a line"
    try:
        lines = path.read_text().split()
    except (OSError, UnicodeDecodeError):
        raise ParameterError("--service", repr(str(path)), allowed) from None
    times = []
    for line in lines:
        seconds = _positive(line)
        if seconds is None:
            raise ParameterError("--service", f"{line!r} in {path}", allowed)
        times.append(seconds)
    if not times:
        raise ParameterError("--service", f"{path}, which is empty", allowed)
    return tuple(times)


def _warn_of_overload(scenario: Scenario) -> None:
    if scenario.load >= 1:
        show.note(
            f"The load is {scenario.load:.2f}: more work comes than the workers can do, and waits "
            "grow for as long as it does. The figures hold for this many jobs only."
        )


def _print(found: list[Summary], scenario: Scenario, as_json: bool) -> None:
    if as_json:
        for summary in found:
            show.json_line(_document(summary, scenario))
    elif found:
        show.out.print(_table(found))
        for summary in found:
            show.out.print(_line(summary, scenario))


def _document(summary: Summary, scenario: Scenario) -> dict[str, Any]:
    return {
        "order": summary.order,
        "k_per_s": None if summary.policy is None else summary.policy.k_per_s,
        "interval_s": scenario.interval_s,
        "workers": scenario.workers,
        "load": scenario.load,
        "utilisation": summary.utilisation,
        "mean_regret_s": summary.mean_regret_s,
        "longest_regret_s": summary.longest_regret_s,
        "waits_s": [
            {"level": level, "name": NAME_OF_LEVEL.get(level), **asdict(waits)}
            for level, waits in summary.waits.items()
        ],
    }


def _table(found: list[Summary]) -> Table:
    table = Table("order", "level", box=None, pad_edge=False)
    for heading in ("jobs", "mean", "p50", "p95", "p99", "longest"):
        table.add_column(heading, justify="right")
    table.add_column("█ mean ░ p95 (s)", no_wrap=True)
    top = max(waits.p95 for summary in found for waits in summary.waits.values())
    for summary in found:
        for number, (level, waits) in enumerate(summary.waits.items()):
            times = (waits.mean, waits.p50, waits.p95, waits.p99, waits.longest)
            table.add_row(
                summary.order if number == 0 else "",
                show.level_name(level),
                f"{waits.jobs:,}",
                *map(_seconds, times),
                _bar(waits.mean, waits.p95, top),
            )
    return table


def _seconds(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.2f}"
    return f"{seconds:.1f}" if seconds < 1000 else f"{seconds:,.0f}"


def _bar(mean: float, p95: float, top: float) -> str:
    scale = BAR_WIDTH / top if top > 0 else 0.0
    full, whole = round(mean * scale), round(p95 * scale)
    return "█" * full + "░" * (whole - full)


def _line(summary: Summary, scenario: Scenario) -> str:
    text = f"{summary.order}: load {scenario.load:.2f}, workers busy {summary.utilisation:.0%}"
    if summary.policy is None or summary.longest_regret_s is None:
        return text
    k = summary.policy.k_per_s
    return (
        f"{text}, k {k:g} (a level is {1 / k:.3g} s), sweeps every {scenario.interval_s:g} s, "
        f"regret {summary.mean_regret_s:.3f} s on average, {summary.longest_regret_s:.3f} s at most"
    )


def _say_target(chosen: Summary | None, target: str, measure: Measure) -> None:
    if chosen is None:
        show.error(
            f"no k keeps {target} ({measure}): not even first come, first served does. "
            "More workers, fewer jobs, or a longer target."
        )
    elif chosen.policy is not None:
        k = chosen.policy.k_per_s
        meaning = f"a level is {1 / k:.3g} s" if k else "strict levels keep it already"
        show.note(f"k = {k:g} is the smallest that keeps {target} ({measure}): {meaning}")
