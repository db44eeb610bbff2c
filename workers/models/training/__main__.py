"""Train one of the models that come with agewell."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import torch

from agewell.shared.cores import usable_cores


def main(arguments: Sequence[str] | None = None) -> int:
    """Train a model.

    Returns:
        0 if it is trained, 2 if the options or the photos are not valid, 130 on Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(1)
    try:
        return int(options.train(options))
    except (ValueError, ModuleNotFoundError) as error:
        hint = "" if isinstance(error, ValueError) else ": pip install 'agewell[train]'"
        print(f"error: {error}{hint}", file=sys.stderr)  # noqa: T201
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from the last checkpoint", file=sys.stderr)  # noqa: T201
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="agewell models train", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for add in (_add_colorizer, _add_digits):
        command = add(commands)
        command.add_argument("--out", type=Path, required=True, help="directory of the new version")
        command.add_argument(
            "--threads",
            type=int,
            default=usable_cores(),
            help="number of torch's threads",
        )
    return parser


def _add_colorizer(commands: Any) -> argparse.ArgumentParser:
    colorizer: argparse.ArgumentParser = commands.add_parser(
        "colorizer", help="train the colorizer on a directory of photographs"
    )
    colorizer.add_argument(
        "--images", type=Path, required=True, help="directory of photographs to train on"
    )
    colorizer.add_argument(
        "--held-out", type=Path, help="directory of other photographs to measure on"
    )
    colorizer.add_argument("--steps", type=int, default=4_500, help="steps of training")
    colorizer.add_argument("--every", type=int, default=500, help="steps between two checkpoints")
    colorizer.add_argument("--seed", type=int, default=0, help="seed of all random numbers")
    colorizer.set_defaults(train=_colorizer)
    return colorizer


def _add_digits(commands: Any) -> argparse.ArgumentParser:
    digits: argparse.ArgumentParser = commands.add_parser(
        "digits", help="train the digits' network on the digits that come with scikit-learn"
    )
    digits.add_argument("--epochs", type=int, default=40, help="passes over the digits")
    digits.set_defaults(train=_digits)
    return digits


def _colorizer(options: argparse.Namespace) -> int:
    from agewell.workers.models.library.colorizer.crops import read_photos
    from agewell.workers.models.library.colorizer.training import Recipe, Training
    from agewell.workers.models.training import card, release

    photos = read_photos(options.images)
    held_out = read_photos(options.held_out) if options.held_out else []
    training = Training(
        photos, options.out, Recipe(steps=options.steps, seed=options.seed), held_out
    )
    training.run(options.every)
    figures = training.finish()
    release.write_spec(options.out, release.colorizer(figures["constant_palette"]))
    if held_out:
        card.write(options.out, figures)
    print(json.dumps(figures, indent=2))  # noqa: T201
    return 0


def _digits(options: argparse.Namespace) -> int:
    from agewell.workers.models.library.digits.training import run
    from agewell.workers.models.training import release

    figures = run(options.out, options.epochs)
    release.write_spec(options.out, release.digits())
    print(json.dumps(figures, indent=2))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
