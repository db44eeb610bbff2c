"""The program that `agewell models export` starts."""

import argparse
import dataclasses
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from agewell.shared.cores import usable_cores
from agewell.shared.errors import AgewellError
from agewell.workers.models import device
from agewell.workers.models.catalogue import Catalogue
from agewell.workers.models.export import gate, report
from agewell.workers.models.export.version import Calibration, Export, export
from agewell.workers.models.image_folder import open_folder
from agewell.workers.models.library.colorizer.crops import read_photos
from agewell.workers.models.spec import read_spec

_NO_CALIBRATION = (
    "--int8 needs --calibrate FOLDER: 8-bit convolutions need the ranges of their inputs, which "
    "are measured on images like yours. Give a folder with 100 to 500 of them, at least 10"
)
_INT8_BESIDE = (
    "--int8 and --beside: an 8-bit graph gives other results than its version, so it must be a "
    "version of its own; leave out --beside"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Export a version, and print how it compares with the original.

    Returns:
        0 if the two agree, 1 if they disagree, 2 if the options, the photos or the model are not
        valid.
    """
    options = _parser().parse_args(arguments)
    device.limit_threads(options.threads)
    try:
        made = _export(options)
    except (AgewellError, ValueError, OSError) as error:
        report.say(f"error: {error}")
        return 2
    if options.json:
        print(_json(made))  # noqa: T201
    else:
        print(report.text(made))  # noqa: T201
    for line in report.faults(made):
        report.say(f"error: {line}")
    if made.made and not (options.json or options.beside):
        print(report.next_step(made, options.into, options.models))  # noqa: T201
    return 0 if made.made else 1


def _export(options: argparse.Namespace) -> Export:
    """Check the options, and export.

    Raises:
        AgewellError: there is no such model or version, or it cannot be loaded.
        ValueError: options do not go together, or the photos do not suffice.
        OSError: the new version cannot be written.
    """
    if options.int8 and options.calibrate is None:
        raise ValueError(_NO_CALIBRATION)
    if options.int8 and options.beside:
        raise ValueError(_INT8_BESIDE)
    for name in ("calibrate", "min_agreement"):
        if getattr(options, name) is not None and not options.int8:
            raise ValueError(f"--{name.replace('_', '-')} needs --int8")
    catalogue = Catalogue(*options.models)
    version = options.version or catalogue.latest_of_torch(options.name)
    source = catalogue.directory(options.name, version)
    target = source if options.beside else _target(options, catalogue, version)
    calibration = None
    if options.int8:
        spec = read_spec(source)
        least = gate.bound(spec.task, options.min_agreement)
        folder = open_folder(options.calibrate, report.say, spec.input.background)
        calibration = Calibration(folder, least)
    photos = tuple(read_photos(options.images)) if options.images else ()
    return export(source, target, calibration=calibration, photos=photos)


def _target(options: argparse.Namespace, catalogue: Catalogue, version: str) -> Path:
    """Return the directory of the new version, in `--into` or the first models directory."""
    named = options.export_as or f"{version}-{'int8' if options.int8 else 'onnx'}"
    into: Path = options.into or options.models[0]
    for root in (into, *catalogue.roots):
        if (root / options.name / named).exists():
            found = root / options.name / named
            raise ValueError(f"{found} exists already; choose another version with --as")
    return into / str(options.name) / named


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="agewell models export",
        description="Export a model to ONNX, and compare the two.",
    )
    add = parser.add_argument
    add("name", help="the model to export")
    add(
        "--models",
        type=Path,
        action="append",
        required=True,
        help="a models directory; repeat it for several",
    )
    add("--into", type=Path, help="the models directory to write to; default: the first one")
    add("--version", help="the version to export; default: the highest plain number")
    add("--to", choices=["onnx"], default="onnx", help="the format to write")
    add("--int8", action="store_true", help="quantise convolutions and linear layers to 8 bits")
    add("--calibrate", type=Path, help="a folder of images to measure ranges and agreement on")
    add("--min-agreement", type=float, help="the least agreement of --int8 with the original")
    add(
        "--as",
        dest="export_as",
        help="name of the new version; default: VERSION-onnx, or VERSION-int8 with --int8",
    )
    add(
        "--beside",
        action="store_true",
        help="add the graph to the original version; workers use the faster one",
    )
    add("--images", type=Path, help="a directory of photos to compare on as well")
    add("--threads", type=int, default=usable_cores(), help="number of threads of one pass")
    add("--json", action="store_true", help="print the comparison as JSON")
    return parser


def _json(made: Export) -> str:
    document = dataclasses.asdict(made) | {"directory": str(made.directory)}
    return json.dumps(document | {"made": made.made})


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
