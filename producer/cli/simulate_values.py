"""Reads the texts of simulate's options: rates, run times and targets."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from agewell.producer.cli.simulate_tables import Scenario, Target
from agewell.producer.simulate.jobs import Exponential, Fixed, Measured, ServiceTime
from agewell.producer.simulate.report import Measure
from agewell.shared.errors import ParameterError
from agewell.shared.protocol.levels import level_from
from agewell.shared.text.durations import parse_duration

Law = Literal["exponential", "fixed"]
"""Distribution of run times around their mean."""


def read_rates(given: list[str]) -> dict[int, float]:
    """Read the values of `--rate`, such as `urgent=2`, and return jobs per second by level."""
    rates_per_s: dict[int, float] = {}
    for text in given:
        level, per_s = _read_level_and(
            "--rate", text, read_number, "LEVEL=NUMBER, jobs a second above 0"
        )
        if level in rates_per_s:
            raise ParameterError("--rate", repr(text), "each level once")
        rates_per_s[level] = per_s
    return rates_per_s


def read_target(text: str, measure: Measure, scenario: Scenario) -> Target:
    """Read `--target`, such as `bulk=5m`. The scenario must have jobs of its level."""
    level, limit_s = _read_level_and(
        "--target", text, _time, "LEVEL=TIME, above 0, such as bulk=5m"
    )
    if level not in scenario.rates_per_s:
        raise ParameterError("--target", repr(text), "a level that has a --rate")
    return Target(text, level, measure, limit_s)


def _read_level_and(
    option: str, text: str, read: Callable[[str], float | None], allowed: str
) -> tuple[int, float]:
    level, _, given = text.partition("=")
    value = read(given)
    if value is None:
        raise ParameterError(option, repr(text), allowed)
    return level_from(level), value


def read_number(text: str) -> float | None:
    """Read a number above 0. Returns None for another text."""
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


def read_service(text: str, law: Law) -> ServiceTime:
    """Read `--service`: a mean run time, or a file with one run time per line."""
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
