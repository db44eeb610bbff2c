"""The cost of idle sweeps by how many jobs wait, beside a rescan of them all, as a figure."""

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.report import Spread

COLOURS = ("#0072B2", "#D55E00", "#009E73")
MARKERS = "osD"
LINES = {"idle sweep": "-", "naive rescan": "--"}


def write_plot(path: Path, costs: list[dict[str, Any]]) -> None:
    """Draw the rows `idle sweep, N waiting` and `naive rescan, N waiting`, in milliseconds."""
    lines: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
    for row in costs:
        found = re.fullmatch(r"(.+), ([\d,]+) waiting", row["what"])
        if found is not None:
            figure = row["figure"]
            cost_ms = figure.median if isinstance(figure, Spread) else figure
            waiting = int(found[2].replace(",", ""))
            lines[row["server"], found[1]].append((waiting, cost_ms))
    servers = list(dict.fromkeys(server for server, _ in lines))
    drawing = Figure(figsize=(8, 4.5), layout="constrained")
    axes = drawing.add_subplot()
    for (server, what), points in lines.items():
        number = servers.index(server)
        style = {"color": COLOURS[number % 3], "marker": MARKERS[number % 3], "markersize": 5}
        axes.plot(*zip(*points, strict=True), LINES[what], label=f"{what}, {server}", **style)
    axes.axhline(1, color="#888888", linewidth=0.8, linestyle=":")
    axes.annotate("promised: below 1 ms", (1e3, 1.15), fontsize=8, color="#666666")
    axes.set(xscale="log", yscale="log", xlabel="jobs waiting", ylabel="milliseconds")
    axes.set_title("What a sweep costs in which nothing has climbed")
    axes.grid(visible=True, which="major", color="#dddddd")
    drawing.legend(loc="outside right upper", frameon=False)
    path.parent.mkdir(exist_ok=True)
    drawing.savefig(path, dpi=100, facecolor="white")
