"""Draws waits against k. It needs matplotlib, which is an optional package."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agewell.producer.simulate.report import Summary
from agewell.shared.errors import ParameterError
from agewell.shared.protocol.levels import level_label

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""The palette of Okabe and Ito, which colour-blind people can tell apart."""
MARKERS = "osD^vPX*<>"
SUFFIXES = (".png", ".svg", ".pdf")


def require_matplotlib(path: Path) -> None:
    """Check that a plot can be written, before the simulations that it shows.

    Raises:
        ParameterError: matplotlib is missing, or the suffix is not .png, .svg or .pdf.
    """
    if path.suffix not in SUFFIXES:
        raise ParameterError("--plot", repr(str(path)), f"a file named {', '.join(SUFFIXES)}")
    try:
        importlib.import_module("matplotlib")
    except ModuleNotFoundError:
        needed = "it after matplotlib is installed: pip install 'agewell[plots]'"
        raise ParameterError("--plot", repr(str(path)), needed) from None


def write_plot(
    path: Path, strict: Summary, aging: Sequence[Summary], fifo: Summary, load: float
) -> None:
    """Draw the mean and the 95th percentile of each level's waits against k.

    Args:
        path: the file to write, with the suffix .png, .svg or .pdf.
        strict: the waits with k = 0, drawn at the left edge.
        aging: the waits for each k, in rising order.
        fifo: the waits with first come, first served, drawn at the right edge.
        load: the load of the workers, for the title.

    Raises:
        ParameterError: the file cannot be written.
    """
    figure = new_figure()
    axes = figure.add_subplot()
    inner = [each.policy.k_per_s for each in aging if each.policy is not None]
    left, right = inner[0] / 3, inner[-1] * 3
    for number, level in enumerate(strict.waits):
        style: dict[str, Any] = {
            "color": COLOURS[number % len(COLOURS)],
            "marker": MARKERS[number % len(MARKERS)],
            "markersize": 5,
        }
        for measure, line, name in (("mean", "-", "mean"), ("p95", "--", "95th percentile")):
            waits = [getattr(each.waits[level], measure) for each in (strict, *aging, fifo)]
            label = f"{level_label(level)}, {name}"
            axes.plot(inner, waits[1:-1], line, label=label, **style)
            axes.plot([left, right], [waits[0], waits[-1]], **style, fillstyle="none", ls="")
    axes.set(xscale="log", yscale="log", xlabel="k per second", ylabel="wait, seconds")
    axes.set_title(f"Waits by k, load {load:.2f}")
    _label_edges(axes, left, right)
    axes.grid(visible=True, which="major", color="#dddddd")
    figure.legend(loc="outside right upper", frameon=False)
    save(figure, path)


def new_figure() -> Any:
    """Make an empty figure. It is a Figure, as pyplot would look for a window system."""
    figure = importlib.import_module("matplotlib.figure").Figure
    return figure(figsize=(8, 4.5), layout="constrained")


def save(figure: Any, path: Path) -> None:
    """Write a figure to a file.

    Raises:
        ParameterError: the file cannot be written.
    """
    try:
        figure.savefig(path, dpi=120, facecolor="white")
    except OSError as error:
        raise ParameterError("--plot", repr(str(path)), f"a file ({error.strerror})") from None


def _label_edges(axes: Any, left: float, right: float) -> None:
    """Name the hollow markers of the two limits, which a logarithmic axis cannot show."""
    for at, text in ((left, "strict\n(k = 0)"), (right, "first come,\nfirst served")):
        axes.axvline(at, color="#dddddd", linewidth=0.8, zorder=0)
        axes.annotate(
            text,
            (at, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=8,
        )
    axes.set_xlim(left / 1.8, right * 1.8)
