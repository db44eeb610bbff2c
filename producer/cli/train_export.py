"""`agewell models train` and `agewell models export`. They run in child processes with torch."""

from pathlib import Path
from typing import Annotated

import typer

from agewell.producer.cli.child import EXPORT, TRAINING, named, run_child
from agewell.producer.cli.exit_codes import exit_codes
from agewell.producer.cli.options import Json, shown_as
from agewell.shared.settings import Settings

train_app = typer.Typer(help="Train the models that come with agewell.", no_args_is_help=True)

Out = Annotated[Path, typer.Option(help="Directory for the new version, models/NAME/VERSION.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Number of threads. Default: one per core.")
]
Photos = Annotated[
    Path, typer.Option("--images", metavar="DIR", help="Directory of photos to learn from.")
]
HeldOut = Annotated[
    Path | None,
    typer.Option(
        "--held-out", metavar="DIR", help="Directory of photos only to measure on. Default: none."
    ),
]


@train_app.command()
def colorizer(
    images: Photos,
    out: Out,
    held_out: HeldOut = None,
    steps: Annotated[
        int, typer.Option(min=1, help="Number of training steps, each on 8 crops.")
    ] = 4500,
    every: Annotated[
        int, typer.Option(min=1, help="Number of steps between two checkpoints.")
    ] = 500,
    threads: Threads = None,
) -> None:
    """Train the colorizer on a directory of photographs.

    It continues a training that was stopped in the same directory. It writes model.yaml, the
    weights, plots of the loss, a sheet of samples, and measurements.

    Example: agewell models train colorizer --images photos/ --out models/colorizer/2
    """
    given = ["colorizer", "--images", images, "--out", out, "--steps", steps, "--every", every]
    run_child(TRAINING, "train", [*given, *named(held_out=held_out, threads=threads)])


@train_app.command()
def digits(
    out: Out,
    epochs: Annotated[int, typer.Option(min=1, help="Number of passes over the digits.")] = 40,
    threads: Threads = None,
) -> None:
    """Train the digits model on scikit-learn's digits, in less than a minute.

    Example: agewell models train digits --out models/digits/2
    """
    given = ["digits", "--out", out, "--epochs", epochs]
    run_child(TRAINING, "train", [*given, *named(threads=threads)])


Version = Annotated[
    str | None, typer.Option(help="Version to export. Default: the highest PyTorch one.")
]
ExportAs = Annotated[
    str | None,
    shown_as("VERSION", "Name of the new version. Default: VERSION-onnx or VERSION-int8.", "--as"),
]
Beside = Annotated[
    bool,
    typer.Option(
        "--beside",
        help="Add it to the directory of the original version, which then serves the faster of "
        "both.",
    ),
]
Calibrate = Annotated[
    Path | None,
    shown_as(
        "DIR",
        "Directory of images like those of your jobs, 10 or more, better 100 to 500. Every fifth "
        "is held out and measured on. --int8 needs it.",
    ),
]
MinAgreement = Annotated[
    float | None,
    shown_as(
        "NUMBER",
        "Least agreement of --int8 with the original on the held-out images. For classification: "
        "share with the same top class, default 0.95. For pictures: PSNR, default 35 dB. For "
        "detection: share of boxes that both find, default 0.9. For segmentation: share of pixels "
        "with the same class, default 0.95.",
    ),
]
Into = Annotated[
    Path | None,
    shown_as(
        "DIR",
        "Models directory to write to. Default: AGEWELL_MODELS_DIR if it is set, otherwise models "
        "in AGEWELL_STATE_DIR.",
    ),
]
ComparedPhotos = Annotated[
    Path | None, shown_as("DIR", "Directory of photos to compare on. Default: noise only.")
]


def export(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the model.")],
    version: Version = None,
    to: Annotated[str, typer.Option(help="Format to export to: onnx.")] = "onnx",
    int8: Annotated[
        bool, typer.Option("--int8", help="Quantise convolutions and linear layers to 8 bits.")
    ] = False,
    calibrate: Calibrate = None,
    min_agreement: MinAgreement = None,
    export_as: ExportAs = None,
    into: Into = None,
    beside: Beside = False,
    images: ComparedPhotos = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Export a PyTorch model to ONNX, compare the results of both, and measure their speed.

    If the results differ, no version is made, and the exit code is 1. The new version serves once
    you activate it.

    Example: agewell models export digits --int8 --calibrate examples/digits
    """
    with exit_codes():
        directories = Settings.load().model_dirs
    flags = {"--int8": int8, "--beside": beside, "--json": as_json}
    given: list[object] = [name, "--to", to, "--into", into or directories[-1]]
    for directory in directories:
        given += ["--models", directory]
    given += [flag for flag, wanted in flags.items() if wanted]
    options = {"version": version, "as": export_as, "images": images, "threads": threads}
    quantised = named(calibrate=calibrate, min_agreement=min_agreement)
    run_child(EXPORT, "export", [*given, *named(**options), *quantised])
