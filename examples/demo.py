"""`make demo`: run operations, a pipeline and models on the example photos, in half a minute.

It starts `agewell up`, sends the images through the command line, and makes a contact sheet of the
results. It also classifies photos and finds text, if the networks for that are installed.
"""

import argparse
import contextlib
import json
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from contact_sheet import (
    Blend,
    contact_sheet,
    poisson_picture,
    poster,
    real_models_picture,
    save_jpeg,
)
from real_models import CLASSIFIER, DETECTOR, write_models
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from agewell.testing import RunningStack, StackError

IMAGES = Path(__file__).resolve().parent / "images"
DIGITS = Path(__file__).resolve().parent / "digits"
COLOURED = {"william-bout-lighthouse": "canyon-day", "tj-holowaychuk": "sunset-by-the-pier"}
"""Photos to colour from their luminance, each with the photo that gives the palette."""
OWN_OPERATIONS = Path(__file__).resolve().parent / "own_operations.py"
STEPS = "resize width=480 | adjust saturation=1.3 | watermark image={} size=0.3 | sharpen"
ON_SHEET = ("kodim23-macaws", "canyon-day", "william-bout-lighthouse", "tj-holowaychuk")
CLASSIFIED = ("kodim23-macaws", "william-bout-lighthouse", "scott-riley", "snow-capped-mountain")
"""Photos whose subject is one of ImageNet's classes."""
CLASSIFYING = "classifying"
POSTER = "poster.jpg"
COMMAND_TIMEOUT_S = 90.0

console = Console(highlight=False, soft_wrap=True)


class DemoError(Exception):
    """A step of the demo failed."""


@dataclass(frozen=True)
class Operation:
    """An operation of the demo."""

    title: str
    folder: Path | None  # of its results; None if it only prints text
    commands: Sequence[Sequence[str]]  # arguments of `agewell enqueue`
    images: int  # the number of images that the commands process


@dataclass(frozen=True)
class Ran:
    """An operation that has run."""

    seconds: float  # of its commands
    classes: Sequence[str]  # the most probable one of each image, if it classifies


def main() -> None:
    """Run the demo. Exits with 1 if a step failed, and with 130 on Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("demo-output"),
        help="folder for the results; default: demo-output",
    )
    out: Path = parser.parse_args().out
    signal.signal(signal.SIGTERM, _leave)
    try:
        run(out)
    except KeyboardInterrupt:
        console.print("interrupted; everything has stopped")
        sys.exit(128 + signal.SIGINT)
    except (DemoError, StackError, OSError) as error:
        console.print(f"[bold red]the demo failed:[/] {escape(str(error))}")
        sys.exit(1)


def _leave(number: int, _: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


def run(out: Path) -> None:
    """Start the stack, run every operation, stop the stack, make the pictures, print a summary."""
    blends = json.loads((IMAGES / "blends.json").read_text())
    planned = operations(blends, out) + real_operations(out)
    with _stack() as env, _progress() as progress:
        bars = [progress.add_task(each.title, total=each.images) for each in planned]
        ran = [
            run_operation(each, env, progress, bar) for each, bar in zip(planned, bars, strict=True)
        ]
    sheet = make_pictures(blends, out)
    classes = {each.title: done.classes for each, done in zip(planned, ran, strict=True)}
    found = make_real_picture(out, classes.get(CLASSIFYING, []))
    console.print()
    console.print(_table(planned, [each.seconds for each in ran]))
    console.print("[dim]seconds of whole commands, with their start and the upload[/]")
    console.print(f"\nbefore and after: [bold]{escape(str(sheet))}[/]")
    if found is not None:
        console.print(f"found by networks: [bold]{escape(str(found))}[/]")
    for model in (CLASSIFIER, DETECTOR):
        if not model.installed:
            console.print(f"without the model {model.name}; to see it: {escape(model.install)}")


@contextmanager
def _stack() -> Iterator[dict[str, str]]:
    """Run `agewell up` in a new directory within this block.

    Yields the environment in which commands find it.

    Raises:
        DemoError: it does not start or stop, or the demo fails. The logs are kept then.
    """
    state = Path(tempfile.mkdtemp(prefix="agewell-"))
    stack = RunningStack(state, operations=OWN_OPERATIONS)
    try:
        write_models(state / "models")  # a worker looks there too
        with console.status("starting") as spinner:

            def report(log: str) -> None:
                ready = [line[:14].strip() for line in log.splitlines() if " ready (" in line]
                spinner.update(f"starting; ready: {', '.join(ready) or 'nothing yet'}")

            stack.wait_ready(report=report)
        yield stack.env
        with console.status("stopping"):
            stack.stop()
    except (DemoError, StackError) as error:
        raise DemoError(f"{error}\nThe logs are in {state}") from None
    finally:
        with console.status("stopping"), contextlib.suppress(StackError):
            stack.stop()
        stack.forget()
        if not isinstance(sys.exception(), DemoError):
            shutil.rmtree(state)


def operations(blends: dict[str, Any], out: Path) -> list[Operation]:
    """Return the operations to run, with commands as a user would type them."""
    photos = IMAGES / "*.jpg"
    return [
        Operation(
            "BGR to HSV", out / "hsv", [["hsv", _shown(photos)]], len(list(IMAGES.glob("*.jpg")))
        ),
        Operation("a pipeline", out / "pipeline", [_pipeline_command()], len(ON_SHEET)),
        Operation("your operation", out / "own", [["duotone", *_on_sheet()]], len(ON_SHEET)),
        Operation(
            "alpha blending",
            out / "blend",
            [_blend_command(blends[name]) for name in ("alpha_own", "alpha_mask")],
            images=2,
        ),
        Operation(
            "Poisson blending",
            out / "poisson",
            [_poisson_command(blends[name]) for name in ("poisson", "poisson_bird")],
            images=2,
        ),
        Operation(
            "colouring",
            out / "colour",
            [_colour_command(*names) for names in COLOURED.items()],
            images=len(COLOURED),
        ),
        Operation("reading digits", None, [["infer", "digits", _shown(DIGITS)]], 10),
    ]


def real_operations(out: Path) -> list[Operation]:
    """Return the operations of the models that are installed, and draw an image with text."""
    found = []
    if CLASSIFIER.installed:
        photos = [_shown(IMAGES / f"{name}.jpg") for name in CLASSIFIED]
        command = ["infer", CLASSIFIER.name, *photos]
        found.append(Operation(CLASSIFYING, None, [command], len(photos)))
    if DETECTOR.installed:
        out.mkdir(parents=True, exist_ok=True)
        save_jpeg(out / POSTER, poster(IMAGES / "sunset-by-the-pier.jpg"))
        command = ["infer", DETECTOR.name, _shown(out / POSTER)]
        found.append(Operation("finding text", out / "text", [command], images=1))
    return found


def _on_sheet() -> list[str]:
    return [_shown(IMAGES / f"{name}.jpg") for name in ON_SHEET]


def _pipeline_command() -> list[str]:
    mark = shlex.quote(_shown(IMAGES / "dahlia-cutout.png"))
    return ["pipeline", STEPS.format(mark), *_on_sheet(), "--format", "jpeg"]


def _blend_command(blend: dict[str, Any]) -> list[str]:
    command = ["blend", *(_shown(IMAGES / blend[side]) for side in ("foreground", "background"))]
    if "mask" in blend:
        command += ["--mask", _shown(IMAGES / blend["mask"])]
    if "offset" in blend:
        command += ["--offset", "{},{}".format(*blend["offset"])]
    return command


def _poisson_command(blend: dict[str, Any]) -> list[str]:
    files = (_shown(IMAGES / blend[side]) for side in ("source", "mask", "destination"))
    return ["poisson", *files, "--at", "{},{}".format(*blend["mask_on_destination"])]


def _colour_command(photo: str, reference: str) -> list[str]:
    files = [_shown(IMAGES / f"{name}.jpg") for name in (photo, reference)]
    return ["infer", "colorizer", files[0], "--reference", files[1]]


def run_operation(
    operation: Operation, env: dict[str, str], progress: Progress, bar: TaskID
) -> Ran:
    """Run an operation's commands, and move its progress bar when jobs end.

    Raises:
        DemoError: an image was not processed.
    """
    started, classes = time.monotonic(), []
    for arguments in operation.commands:
        then = (
            ["--wait"]
            if operation.folder is None
            else ["--out", str(operation.folder), "--overwrite"]
        )
        command = ["agewell", "enqueue", *arguments, *then]
        progress.console.print(f"[dim]$ {escape(shlex.join(command))}[/]")
        for done in _run_command(command, env):
            found = _classes(done)
            classes += found
            progress.advance(bar, len(done.get("files", found)))
    made = progress.tasks[bar].completed
    if made != operation.images:
        raise DemoError(f"{operation.title}: {made:.0f} of {operation.images} images were made")
    if classes:
        progress.console.print(f"[dim]read as: {'  '.join(map(escape, classes))}[/]")
    return Ran(time.monotonic() - started, classes)


def _run_command(command: Sequence[str], env: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Run a command with --json. Yields the document of each job.

    Raises:
        DemoError: it exits with a code other than 0, or does not end in time.
    """
    with (
        tempfile.TemporaryFile("w+") as complaints,
        subprocess.Popen(
            [*RunningStack.command, *command[1:], "--json"],
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=env,
        ) as process,
    ):
        limit = threading.Timer(COMMAND_TIMEOUT_S, process.kill)
        limit.start()
        try:
            for line in process.stdout or ():
                yield json.loads(line)
            status = process.wait()
        finally:
            limit.cancel()
            process.terminate()  # it still runs only if the demo was interrupted
        complaints.seek(0)
        if status:
            text = complaints.read().strip()
            raise DemoError(f"`{shlex.join(command)}` ended with {status}:\n{text}")


def _classes(done: dict[str, Any]) -> list[str]:
    """Return the most probable class of each image of a job, with its probability."""
    predictions = [item["prediction"] for item in done["items"] if item.get("prediction")]
    guesses = [each["classes"][0] for each in predictions if "classes" in each]
    return [f"{each['label']} {each['probability']:.0%}" for each in guesses]


def make_pictures(blends: dict[str, Any], out: Path) -> Path:
    """Write the contact sheet and the picture of the Poisson blends. Returns the sheet's path."""
    alpha, poisson = (
        [_done(blends[name], main, out / folder, op) for name in names]
        for names, main, folder, op in (
            (("alpha_own", "alpha_mask"), "foreground", "blend", "alpha_blend"),
            (("poisson", "poisson_bird"), "source", "poisson", "poisson_blend"),
        )
    )
    photos = [IMAGES / f"{name}.jpg" for name in ON_SHEET]
    of_each = {
        op: [out / folder / f"{photo.stem}.{op}.{suffix}" for photo in photos]
        for op, folder, suffix in (
            ("hsv", "hsv", "png"),
            ("pipeline", "pipeline", "jpeg"),
            ("duotone", "own", "png"),
        )
    }
    coloured = [
        (IMAGES / f"{photo}.jpg", IMAGES / f"{of}.jpg", out / "colour" / f"{photo}.colorizer.png")
        for photo, of in COLOURED.items()
    ]
    save_jpeg(out / "poisson.jpg", poisson_picture(poisson))
    return save_jpeg(
        out / "contact-sheet.jpg", contact_sheet(photos, of_each, alpha, poisson, coloured)
    )


def make_real_picture(out: Path, classes: Sequence[str]) -> Path | None:
    """Write the picture of what the networks found. Returns its path, or None without networks."""
    photos = [IMAGES / f"{name}.jpg" for name in CLASSIFIED] if CLASSIFIER.installed else []
    texts = [out / POSTER, out / "text" / f"{Path(POSTER).stem}.text.png"]
    if not (CLASSIFIER.installed or DETECTOR.installed):
        return None
    picture = real_models_picture(
        list(zip(photos, classes, strict=True)), texts if DETECTOR.installed else []
    )
    return save_jpeg(out / "real-models.jpg", picture)


def _done(blend: dict[str, Any], main: str, folder: Path, op: str) -> Blend:
    files = {field: IMAGES / name for field, name in blend.items() if field in Blend.FIELDS}
    x, y = blend.get("mask_on_destination", (0, 0))
    return Blend(files, (x, y), result=folder / f"{files[main].stem}.{op}.png")


def _table(planned: Sequence[Operation], seconds: Sequence[float]) -> Table:
    table = Table("operation", box=None, pad_edge=False)
    for heading in ("images", "seconds", "images/s"):
        table.add_column(heading, justify="right")
    table.add_column("output")
    for each, took_s in zip(planned, seconds, strict=True):
        rate = f"{each.images / took_s:.1f}"
        output = escape(str(each.folder or "above"))
        table.add_row(each.title, str(each.images), f"{took_s:.1f}", rate, output)
    return table


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn(), console=console
    )


def _shown(path: Path) -> str:
    """Return a path as a user would type it: relative to the current directory, if below it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


if __name__ == "__main__":
    main()
