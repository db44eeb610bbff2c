"""`agewell models train` and `export`: what makes models, as child processes with torch in them."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from agewell.producer.cli.exit_codes import ExitCode, exit_codes, leave
from agewell.producer.cli.options import Json
from agewell.shared.settings import Settings

train_app = typer.Typer(help="Train the models that come with agewell.", no_args_is_help=True)

Out = Annotated[Path, typer.Option(help="The version's directory, models/NAME/VERSION.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Of torch; unset: one a core.")]
Photos = Annotated[Path, typer.Option("--images", metavar="DIR", help="Photos to learn from.")]
HeldOut = Annotated[
    Path | None, typer.Option("--held-out", metavar="DIR", help="Photos to measure on alone.")
]


@train_app.command()
def colorizer(
    images: Photos,
    out: Out,
    held_out: HeldOut = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps in all; 8 views of photos each.")] = 4500,
    every: Annotated[int, typer.Option(min=1, help="Steps between two checkpoints.")] = 500,
    threads: Threads = None,
) -> None:
    """Train the colorizer on a directory of photographs.

    Takes up where a training in the same directory was stopped. Writes model.yaml and the weights,
    plots of the loss, a sheet of samples, and figures.

    Example: agewell models train colorizer --images photos/ --out models/colorizer/2
    """
    given = ["colorizer", "--images", images, "--out", out, "--steps", steps, "--every", every]
    _run("training", "train", [*given, *_named(held_out=held_out, threads=threads)])


@train_app.command()
def digits(
    out: Out,
    epochs: Annotated[int, typer.Option(min=1, help="Rounds through the digits.")] = 40,
    threads: Threads = None,
) -> None:
    """Train the digits' network on scikit-learn's digits, in under a minute.

    Example: agewell models train digits --out models/digits/2
    """
    given = ["digits", "--out", out, "--epochs", epochs]
    _run("training", "train", [*given, *_named(threads=threads)])


def export(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The model.")],
    version: Annotated[str | None, typer.Option(help="Of the original.")] = None,
    to: Annotated[str, typer.Option(help="What to: onnx.")] = "onnx",
    int8: Annotated[bool, typer.Option("--int8", help="8-bit weights in linear layers.")] = False,
    export_as: Annotated[
        str | None, typer.Option("--as", metavar="VERSION", help="Unset: VERSION-onnx or -int8.")
    ] = None,
    beside: Annotated[
        bool, typer.Option("--beside", help="Into the original's version: the faster one serves.")
    ] = False,
    images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Photos to compare on, beside noise.")
    ] = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Make an ONNX version of a model of torch's; compare the two, and time them.

    Where they disagree nothing is made, and the exit code is 1.

    Example: agewell models export digits --int8
    """
    with exit_codes():
        models = Settings.load().models_dir
    flags = {"--int8": int8, "--beside": beside, "--json": as_json}
    given = [name, "--models", models, "--to", to]
    given += [flag for flag, wanted in flags.items() if wanted]
    options = {"version": version, "as": export_as, "images": images, "threads": threads}
    _run("export", "export", [*given, *_named(**options)])


def _named(**options: object) -> list[object]:
    """Options that were given, as arguments."""
    given: list[object] = []
    for name, value in options.items():
        if value is not None:
            given += [f"--{name.replace('_', '-')}", value]
    return given


def _run(package: str, extra: str, arguments: list[object]) -> None:
    """Run a package of agewell.workers.models; exits as it does."""
    if importlib.util.find_spec("torch") is None:
        leave(ExitCode.USAGE, f"torch is not installed: pip install 'agewell[{extra}]'")
    command = [sys.executable, "-m", f"agewell.workers.models.{package}", *map(str, arguments)]
    try:
        code = subprocess.run(command, check=False).returncode
    except KeyboardInterrupt:  # the child has had it too, and has ended
        code = ExitCode.INTERRUPTED
    raise typer.Exit(code)
