"""Draws the waits of tenants over time, with tenants and without. It needs matplotlib."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agewell.producer.simulate.plot import COLOURS, MARKERS, new_figure, save
from agewell.producer.simulate.tenant_report import TenantsSummary

PARTS = 40
"""Parts of the time in which waits are averaged."""

MOST = 10
"""Most tenants to draw: those with the most jobs."""

LEAST_WAIT_S = 1e-3
"""A logarithmic axis cannot show 0. Shorter waits are drawn as this long."""

TITLES = {"tenants": "with tenants", "aging": "without tenants, e^(kt) alone"}


def write_tenant_plot(path: Path, results: Sequence[TenantsSummary], sending_s: float) -> None:
    """Draw the mean wait of each tenant's jobs against the time at which they were sent.

    Args:
        path: the file to write, with the suffix .png, .svg or .pdf.
        results: each gets a panel.
        sending_s: the time to draw, in seconds.

    Raises:
        ParameterError: the file cannot be written.
    """
    figure = new_figure()
    panels = figure.subplots(1, len(results), sharey=True)
    for panel, result in zip(panels, results, strict=True):
        for number, name in enumerate(_drawn(result)):
            style: dict[str, Any] = {
                "color": COLOURS[number % len(COLOURS)],
                "marker": MARKERS[number % len(MARKERS)],
                "markersize": 4,
                "label": name if panel is panels[0] else None,
            }
            panel.plot(*_means(result.waited[name], sending_s), **style)
        panel.set(yscale="log", xlabel="sent at, seconds", title=TITLES[result.order])
        panel.grid(visible=True, which="major", color="#dddddd")
    panels[0].set(ylabel="mean wait, seconds")
    figure.legend(loc="outside lower center", frameon=False, ncols=5)
    save(figure, path)


def _drawn(result: TenantsSummary) -> list[str]:
    """Choose the tenants to draw, in the order of the result."""
    most = sorted(result.waited, key=lambda name: -len(result.waited[name]))[:MOST]
    return [name for name in result.waited if name in most]


def _means(
    waited: Sequence[tuple[float, float]], sending_s: float
) -> tuple[list[float], list[float]]:
    """Return the middles of those parts of the time that have jobs, and the mean waits in them."""
    part_s = sending_s / PARTS
    parts: list[list[float]] = [[] for _ in range(PARTS)]
    for arrived_at, wait in waited:
        parts[min(PARTS - 1, int(arrived_at / part_s))].append(wait)
    found = [(number, each) for number, each in enumerate(parts) if each]
    middles = [(number + 0.5) * part_s for number, _ in found]
    return middles, [max(LEAST_WAIT_S, math.fsum(each) / len(each)) for _, each in found]
