"""`agewell models bench`: measures the versions and options of a model, to choose between them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from agewell.producer.cli import terminal
from agewell.producer.cli.child import BENCH, named, read_child
from agewell.producer.cli.exit_codes import exit_codes
from agewell.producer.cli.options import Json, shown_as
from agewell.producer.cli.tables import Column, print_table
from agewell.shared.settings import Settings

MB = 1e6

Versions = Annotated[
    str | None,
    shown_as(
        "V,V",
        "Versions to measure, separated by commas. Default: the one that serves unless another "
        "is activated, its exports, and options of torch.",
    ),
]
Images = Annotated[
    Path | None,
    shown_as("DIR", "Directory of photos to measure the agreement on. Default: noise."),
]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Number of threads. Default: one per core.")
]
Seconds = Annotated[
    float | None,
    typer.Option(min=0.1, max=600, help="Seconds for each measurement. Default: 2."),
]
Compile = Annotated[
    bool, typer.Option("--compile", help="Measure torch.compile too. It needs a C++ compiler.")
]


def bench(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the model.")],
    versions: Versions = None,
    images: Images = None,
    threads: Threads = None,
    seconds: Seconds = None,
    compiled: Compile = False,
    as_json: Json = False,
) -> None:
    """Measure a model's versions and options on this machine: speed, memory and agreement.

    It needs no Redis and no worker. Stop other work first, because it disturbs the times.

    Example: agewell models bench digits --images examples/digits
    """
    with exit_codes():
        directories = Settings.load().model_dirs
    given: list[object] = [name, *(["--compile"] if compiled else [])]
    for directory in directories:
        given += ["--models", directory]
    for version in (versions or "").split(","):
        given += ["--version", version.strip()] if version.strip() else []
    given += named(images=images, threads=threads, seconds=seconds)
    found: list[dict[str, Any]] = []

    def keep(line: str) -> None:
        found.append(json.loads(line))
        if as_json:
            terminal.print_json(found[-1])

    code = read_child(BENCH, "workers", given, keep)
    if found and not as_json:
        _show(found)
    raise typer.Exit(code)


def _show(found: Sequence[Mapping[str, Any]]) -> None:
    measured = [each for each in found if "error" not in each]
    if measured:
        _show_speed(measured)
        terminal.print_line("")
        _show_rest(measured)
        _show_notes(measured)
    for each in measured:
        if each["refused"]:
            told = f"workers refuse {each['variant']}: {each['refused']}"
            terminal.print_note(f"{told}; raise check_max_abs if the agreement is good enough")
    for each in found:
        if "error" in each:
            terminal.print_error(f"{each['variant']}: {each['error']}")


def _show_speed(measured: Sequence[Mapping[str, Any]]) -> None:
    """Print the times of passes, with the images per second, by batch size."""
    sizes = sorted({passes["batch"] for each in measured for passes in each["batches"]})
    columns = [Column("variant", flexible=True)]
    for size in sizes:
        columns += [Column(f"batch {size}", right=True), Column("img/s", right=True)]
    rows = []
    for each in measured:
        by_size = {passes["batch"]: passes for passes in each["batches"]}
        rows.append([each["variant"]])
        for size in sizes:
            rows[-1] += _passes(by_size[size]) if size in by_size else ["-", "-"]
    print_table(terminal.out, columns, rows)


def _passes(passes: Mapping[str, Any]) -> list[str]:
    time = f"{_short(passes['ms'])} ±{_short(passes['spread_ms'])}"
    return [time, _short(passes["images_per_s"])]


def _show_rest(measured: Sequence[Mapping[str, Any]]) -> None:
    columns = [
        Column("variant", flexible=True),
        Column("queue/s", right=True),
        Column("weights MB", right=True),
        Column("peak MB", right=True),
        Column("agreement", right=True),
        Column("runs on", drop=1),
    ]
    rows = [
        [
            each["variant"],
            _short(each["queue_images_per_s"]),
            _short(each["weights_bytes"] / MB),
            f"{each['peak_bytes'] / MB:.0f}",
            _agreement(each["agreement"]),
            each["runs_on"],
        ]
        for each in measured
    ]
    print_table(terminal.out, columns, rows)


def _agreement(found: Mapping[str, Any]) -> str:
    value = found["value"]
    if found["unit"] == "%":
        return f"{100 * value:.1f} %"
    return "equal" if value >= 100 else f"{value:.1f} dB"


def _show_notes(measured: Sequence[Mapping[str, Any]]) -> None:
    """Print what the figures are."""
    first = measured[0]
    agreed, threads = first["agreement"], first["threads"]
    images = f"{agreed['images']} images" + (" of noise" if agreed["noise"] else "")
    plural = "" if threads == 1 else "s"
    spread = "median, ± half of the interquartile range"
    for line in (
        "",
        f"batch: ms of a pass with {threads} thread{plural}: {spread}.",
        f"queue/s: images per second of a full queue, up to {first['queue_batch']} in a batch.",
        "peak MB: resident memory of the process; on a GPU, its memory.",
        f"agreement with torch in float32: {agreed['measure']}, on {images}.",
    ):
        terminal.print_line(line)


def _short(value: float) -> str:
    """Return a number with three digits, or all of those before the point."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
