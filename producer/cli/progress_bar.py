"""A progress bar on stderr that is hidden while text is written to stdout."""

import contextlib
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from agewell.producer.cli.predicted_start import PredictedStart

_bars: list[Progress] = []
"""The bar on the screen, if there is one."""


@contextlib.contextmanager
def bar_on(console: Console) -> Iterator[Progress]:
    """Show a progress bar until the block ends, if the console is a terminal."""
    bar = Progress(
        TextColumn("{task.description:>10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        PredictedStart(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        _bars.append(bar)
        try:
            yield bar
        finally:
            _bars.remove(bar)


@contextlib.contextmanager
def above_the_bar(out: Console) -> Iterator[None]:
    """Hide the bar until the block ends, so that other text does not mix with its line."""
    bars = [bar for bar in _bars if bar.live.is_started and out.is_terminal]
    for bar in bars:
        bar.stop()
    try:
        yield
    finally:
        if bars:
            out.file.flush()
        for bar in bars:
            bar.start()
