"""Output of simulations: a table with bars, JSON documents, and notes on stderr."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from agewell.producer.cli import terminal
from agewell.producer.cli.tables import Column, print_table
from agewell.producer.simulate.jobs import ServiceTime
from agewell.producer.simulate.measured import Load
from agewell.producer.simulate.report import Measure, Summary, Waits
from agewell.shared.protocol.aging import AgingPolicy
from agewell.shared.protocol.levels import NAME_OF_LEVEL, level_label
from agewell.shared.text.units import count

BAR_WIDTH = 16
COLUMNS = (
    Column("order"),
    Column("level"),
    Column("jobs", right=True, drop=3),
    Column("mean", right=True),
    Column("p50", right=True, drop=2),
    Column("p95", right=True),
    Column("p99", right=True, drop=1),
    Column("longest", right=True),
    Column("█ mean ░ p95 (s)", drop=4),
)


@dataclass(frozen=True)
class Scenario:
    """The queue to simulate.

    Attributes:
        rates_per_s: jobs per second by level.
        service: distribution of the run times.
        workers: the number of jobs that run at a time.
        policy: the aging.
    """

    rates_per_s: dict[int, float]
    service: ServiceTime
    workers: int
    policy: AgingPolicy

    @property
    def load(self) -> float:
        """The share of the workers' time that the jobs need. At 1 or more, waits grow."""
        return math.fsum(self.rates_per_s.values()) * self.service.mean_s / self.workers


@dataclass(frozen=True)
class Target:
    """A wait that a level must keep.

    Attributes:
        text: as on the command line, such as `bulk=5m`.
        level: 0 to 9.
        measure: which of the level's waits.
        limit_s: the longest that it may be, in seconds.
    """

    text: str
    level: int
    measure: Measure
    limit_s: float

    def __str__(self) -> str:
        return f"{self.text} ({self.measure})"


def print_measured(load: Load) -> None:
    """Print the measured load to stderr, so that the results show their basis."""
    for level, per_s in load.rates_per_s.items():
        terminal.print_note(f"measured: {level_label(level)}, {per_s:.3g} jobs/s")
    for op, times in load.times_of_op.items():
        jobs = count(len(times.times_s), "job")
        terminal.print_note(f"measured: {op}, {times.mean_s:.3g} s on average of {jobs}")


def warn_of_overload(load: float) -> None:
    """Print a note to stderr if more work comes than the workers can do."""
    if load >= 1:
        terminal.print_note(
            f"The load is {load:.2f}: more work comes than the workers can do, and waits "
            "grow for as long as it does. The figures hold for this many jobs only."
        )


def print_summaries(found: list[Summary], scenario: Scenario, as_json: bool) -> None:
    """Print a table of all orders of service and a line about each, or a JSON document each."""
    if as_json:
        for summary in found:
            terminal.print_json(_document(summary, scenario))
    elif found:
        print_table(terminal.out, COLUMNS, _rows(found))
        for summary in found:
            terminal.out.print(_line(summary, scenario))


def waits_document(waits: Mapping[int, Waits]) -> list[dict[str, Any]]:
    """Return the waits of each level as JSON."""
    return [
        {"level": level, "name": NAME_OF_LEVEL.get(level), **asdict(each)}
        for level, each in waits.items()
    ]


def _document(summary: Summary, scenario: Scenario) -> dict[str, Any]:
    return {
        "order": summary.order,
        "k_per_s": None if summary.policy is None else summary.policy.k_per_s,
        "workers": scenario.workers,
        "load": scenario.load,
        "utilisation": summary.utilisation,
        "waits_s": waits_document(summary.waits),
    }


def _rows(found: list[Summary]) -> list[list[str]]:
    rows = []
    top = max(waits.p95 for summary in found for waits in summary.waits.values())
    for summary in found:
        for number, (level, waits) in enumerate(summary.waits.items()):
            times = (waits.mean, waits.p50, waits.p95, waits.p99, waits.longest)
            order = summary.order if number == 0 else ""
            bar = _bar(waits.mean, waits.p95, top)
            rows.append(
                [order, level_label(level), f"{waits.jobs:,}", *map(seconds_text, times), bar]
            )
    return rows


def seconds_text(seconds: float) -> str:
    """Return a wait in seconds with three digits."""
    if seconds < 10:
        return f"{seconds:.2f}"
    return f"{seconds:.1f}" if seconds < 1000 else f"{seconds:,.0f}"


def _bar(mean: float, p95: float, top: float) -> str:
    scale = BAR_WIDTH / top if top > 0 else 0.0
    full, whole = round(mean * scale), round(p95 * scale)
    return "█" * full + "░" * (whole - full)


def _line(summary: Summary, scenario: Scenario) -> str:
    text = f"{summary.order}: load {scenario.load:.2f}, workers busy {summary.utilisation:.0%}"
    if summary.order != "aging" or summary.policy is None:
        return text
    k = summary.policy.k_per_s
    return f"{text}, k {k:g} (a level is {1 / k:.3g} s)"


def print_no_difference(strict: Summary, aging: Summary) -> None:
    """Print a note to stderr if aging changed nothing, with the reason."""
    if aging.policy is None or not aging.policy.k_per_s or strict.waits != aging.waits:
        return
    longest_s = max(waits.longest for waits in strict.waits.values())
    level_s = 1 / aging.policy.k_per_s
    terminal.print_note(
        f"Aging changes nothing here: no job waited long enough to overtake one of another level "
        f"(the longest {longest_s:.3g} s, and a level is worth {level_s:.3g} s). "
        "Try a higher load or a larger k."
    )


def print_target(chosen: Summary | None, target: Target) -> None:
    """Print to stderr which k keeps a target, or that no k does."""
    if chosen is None:
        terminal.print_error(
            f"no k keeps {target}: not even first come, first served does. "
            "Use more workers, send fewer jobs, or set a longer target."
        )
    elif chosen.policy is not None:
        k = chosen.policy.k_per_s
        if k:
            worth = f"a level is {1 / k:.3g} s"
            terminal.print_note(f"k = {k:g} is the smallest that keeps {target}: {worth}")
            return
        wait_s = getattr(chosen.waits[target.level], target.measure)
        terminal.print_note(
            f"k = 0 is the smallest that keeps {target}: strict levels keep it "
            f"already, at {wait_s:.3g} s. Only a shorter target, more jobs or fewer workers "
            "would need aging."
        )
