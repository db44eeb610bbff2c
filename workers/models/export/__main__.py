"""The program that `agewell models export` starts."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from agewell.shared.errors import AgewellError
from agewell.workers.models.catalogue import Catalogue
from agewell.workers.models.export.version import Export, export
from agewell.workers.models.library.colorizer.crops import read_photos


def main(arguments: Sequence[str] | None = None) -> int:
    """Export a version, and print how it compares with the original.

    Returns:
        0 if the two agree, 1 if they disagree, 2 if the options or the model are not valid.
    """
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        version = options.version or Catalogue(options.models).latest_of_torch(options.name)
        source = Catalogue(options.models).directory(options.name, version)
        named = options.export_as or f"{version}-{'int8' if options.int8 else 'onnx'}"
        target = source if options.beside else options.models / options.name / named
        if target.exists() and not options.beside:
            raise ValueError(f"{target} exists already; choose another version with --as")
        photos = tuple(read_photos(options.images)) if options.images else ()
        made = export(source, target, int8=options.int8, photos=photos)
    except (AgewellError, ValueError) as error:
        _say(f"error: {error}")
        return 2
    print(_json(made) if options.json else _text(made))  # noqa: T201
    for case in made.failed:
        _say(f"error: differs by {case.max_abs:.3g}, allowed {case.allowed(made.int8):.3g}: {case}")
    return 1 if made.failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="agewell models export",
        description="Export a model of kind torch to ONNX, and compare the two.",
    )
    parser.add_argument("name", help="the model to export")
    parser.add_argument("--models", type=Path, required=True, help="the models directory")
    parser.add_argument(
        "--version", help="the version to export; default: the highest of kind torch"
    )
    parser.add_argument("--to", choices=["onnx"], default="onnx", help="the format to write")
    parser.add_argument("--int8", action="store_true", help="use 8-bit weights in linear layers")
    parser.add_argument(
        "--as",
        dest="export_as",
        help="name of the new version; default: VERSION-onnx, or VERSION-int8 with --int8",
    )
    parser.add_argument(
        "--beside",
        action="store_true",
        help="add the graph to the original version; workers use the faster one",
    )
    parser.add_argument("--images", type=Path, help="a directory of photos to compare on as well")
    parser.add_argument(
        "--threads", type=int, default=torch.get_num_threads(), help="number of torch's threads"
    )
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON")
    return parser


def _text(made: Export) -> str:
    sizes = sorted({(case.height, case.width) for case in made.cases if not case.real})
    levels = [case.max_levels for case in made.cases if case.max_levels is not None]
    lines = [
        f"compared: batches {sorted({case.batch for case in made.cases})}, "
        f"sizes {', '.join(f'{h} x {w}' for h, w in sizes)}, "
        f"photos {sum(case.real for case in made.cases)}",
        f"largest difference: {max(case.max_abs for case in made.cases):.2g}"
        + (f"; of final pictures: {max(levels)} of 255" if levels else ""),
    ]
    lines += [
        f"a batch of {speed.batch}: torch {speed.torch_ms} ms, ONNX {speed.onnx_ms} ms "
        f"({speed.torch_ms / speed.onnx_ms:.2f} times as fast)"
        for speed in made.speeds
    ]
    attention = made.operators.get("Attention", 0)
    nodes = sum(made.operators.values())
    lines.append(f"{nodes} nodes, {attention} of them Attention; {made.size_bytes:,} bytes")
    lines.append("refused: the two disagree" if made.failed else f"made {made.directory}")
    return "\n".join(lines)


def _json(made: Export) -> str:
    document = dataclasses.asdict(made) | {"directory": str(made.directory)}
    return json.dumps(document | {"made": not made.failed})


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
