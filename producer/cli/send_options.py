"""The options that all `agewell enqueue` commands share."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from agewell.producer.cli.exit_codes import exit_codes
from agewell.producer.cli.options import METAVAR, Json, time_between
from agewell.shared.errors import ParameterError
from agewell.shared.protocol.formats import FORMATS, Format
from agewell.shared.protocol.levels import LEVEL_OF_NAME, level_from
from agewell.shared.protocol.messages import MAX_ITEMS, Output

Priority = Annotated[
    str,
    typer.Option(
        "--priority",
        "-p",
        help="urgent, high, normal, low, bulk, or 0 (most urgent) to 9.",
        autocompletion=lambda: list(LEVEL_OF_NAME),
    ),
]
ImagesPerJob = Annotated[
    int | None,
    typer.Option(min=1, max=MAX_ITEMS, help="Images in one job; unset: chosen by file size."),
]
Wait = Annotated[bool, typer.Option("--wait", "-w", help="Wait until every job has ended.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", file_okay=False, help="Write results here; implies --wait."),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace results that exist; unset: refuse to start.")
]
SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", help="Send only images whose results do not exist yet.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show which files go together and where results go.")
]
OutputFormat = Annotated[Format, typer.Option("--format", "-f", help="How results are encoded.")]
Quality = Annotated[
    int | None,
    typer.Option(min=1, max=100, help="Of JPEG (unset: 95) and WebP (unset: lossless)."),
]
Block = Annotated[
    bool, typer.Option("--block", help="If the queue or Redis is full, wait for room.")
]
Deadline = Annotated[
    float | None,
    typer.Option(
        parser=time_between(0.1),
        metavar=METAVAR,
        help="A job that has not started by then expires.",
    ),
]


@dataclass(frozen=True)
class Options:
    """Values of the options that all `enqueue` commands share."""

    level: int
    images_per_job: int | None
    wait: bool
    out: Path | None
    overwrite: bool
    skip_existing: bool
    dry_run: bool
    output: Output
    as_json: bool
    block: bool
    deadline_s: float | None


def read_options(
    *,
    priority: Priority = "normal",
    images_per_job: ImagesPerJob = None,
    wait: Wait = False,
    out: Out = None,
    overwrite: Overwrite = False,
    skip_existing: SkipExisting = False,
    dry_run: DryRun = False,
    image_format: OutputFormat = "png",
    quality: Quality = None,
    block: Block = False,
    deadline: Deadline = None,
    as_json: Json = False,
) -> Options:
    """Check the shared options.

    Raises:
        ParameterError: a value is not allowed, or two of them contradict each other.
    """
    if quality is not None and not FORMATS[image_format].has_quality:
        raise ParameterError("--quality", str(quality), f"nothing: {image_format} is lossless")
    if overwrite and skip_existing:
        raise ParameterError("--overwrite", "given with --skip-existing", "one of the two")
    for name, given in (("--overwrite", overwrite), ("--skip-existing", skip_existing)):
        if given and out is None:
            raise ParameterError(name, "given without --out", "with --out, a folder for results")
    return Options(
        level=level_from(priority),
        images_per_job=images_per_job,
        wait=wait or out is not None,
        out=out,
        overwrite=overwrite,
        skip_existing=skip_existing,
        dry_run=dry_run,
        output=Output(format=image_format, quality=quality),
        as_json=as_json,
        block=block,
        deadline_s=deadline,
    )


def with_send_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the shared options to a command, and pass them to it as its argument `options`."""
    own = dict(inspect.signature(command, eval_str=True).parameters)
    del own["options"]
    shared = inspect.signature(read_options, eval_str=True).parameters

    def run(**given: Any) -> None:
        with exit_codes():
            options = read_options(**{name: given.pop(name) for name in shared})
            command(**given, options=options)

    parameters = [
        each.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for each in (*own.values(), *shared.values())
    ]
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": None}
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run
