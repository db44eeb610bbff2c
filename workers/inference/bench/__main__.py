"""The program that `agewell models bench` starts. It prints a line of JSON for each variant."""

import argparse
import dataclasses
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agewell.shared.cores import usable_cores
from agewell.shared.errors import AgewellError
from agewell.workers.inference.bench.measure import Task
from agewell.workers.inference.bench.plan import PLAIN, Variant, variants
from agewell.workers.models import device
from agewell.workers.models.catalogue import Catalogue
from agewell.workers.models.image_folder import open_folder
from agewell.workers.models.spec import read_spec


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure each variant in a process of its own.

    Returns:
        0 if all could be measured, 1 if some could not, 2 if the options are not valid.
    """
    options = _parser().parse_args(arguments)
    try:
        on_gpu = device.choose_device().type == "cuda"
        planned = variants(
            Catalogue(*options.models),
            options.name,
            options.version,
            on_gpu=on_gpu,
            compiled=options.compile,
        )
        if options.images is not None:
            open_folder(options.images, _say)
    except (AgewellError, ValueError) as error:
        _say(f"error: {error}")
        return 2
    failed = 0
    said: set[str] = set()
    for number, variant in enumerate(planned, 1):
        _say(f"measuring {options.name}/{variant.label}: {number} of {len(planned)}")
        found = _measured(variant, options, said)
        failed += "error" in found
        print(json.dumps(found), flush=True)  # noqa: T201
    return 1 if failed else 0


def _measured(variant: Variant, options: argparse.Namespace, said: set[str]) -> dict[str, Any]:
    """Measure a variant in a child process. If it fails, the error takes the figures' place.

    Args:
        variant: one of the plan.
        options: of the command line.
        said: lines about photos that were said already. It is added to.
    """
    reference = read_spec(variant.reference)
    task = Task(
        directory=str(variant.directory),
        reference=str(variant.reference),
        changes=dict(variant.changes),
        reference_changes={} if reference.kind == "onnx" else dict(PLAIN),
        images=None if options.images is None else str(options.images),
        threads=options.threads,
        seconds=options.seconds,
    )
    document = {"model": options.name, "variant": variant.label, "version": variant.version}
    command = [sys.executable, "-P", "-m", "agewell.workers.inference.bench.measure"]
    done = subprocess.run(
        [*command, json.dumps(dataclasses.asdict(task))],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stderr.splitlines()
    if done.returncode != 0:
        reason = lines[-1] if lines else f"the process ended with {done.returncode}"
        return {**document, "error": reason}
    for line in lines:
        if line.startswith("skipped ") and line not in said:
            said.add(line)
            _say(line)
    return {**document, "changes": dict(variant.changes), **json.loads(done.stdout)}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="agewell models bench", description=__doc__)
    add = parser.add_argument
    add("name", help="the model to measure")
    add("--models", type=Path, action="append", required=True, help="a models directory")
    add("--version", action="append", default=[], help="measure only this one; repeatable")
    add("--images", type=Path, help="a folder of photos to measure the agreement on")
    add("--threads", type=int, default=usable_cores(), help="number of threads of one pass")
    add("--seconds", type=float, default=2.0, help="time for each measurement")
    add("--compile", action="store_true", help="measure torch.compile too")
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # the child process got the signal too
        sys.exit(128 + signal.SIGINT)
