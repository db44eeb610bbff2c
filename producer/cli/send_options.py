"""The options that all `agewell enqueue` commands share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from agewell.producer.cli.options import METAVAR, Json, time_between, with_options
from agewell.shared.errors import ParameterError
from agewell.shared.protocol.formats import FORMATS, Effort, Format
from agewell.shared.protocol.levels import LEVEL_OF_NAME, level_from
from agewell.shared.protocol.messages import MAX_ITEMS, Output
from agewell.shared.protocol.tenants import check_tenant

Paths = Annotated[
    list[str], typer.Argument(metavar="PATH", help="Images: files, folders or globs.")
]
Priority = Annotated[
    str,
    typer.Option(
        "--priority",
        "-p",
        help="Priority: urgent, high, normal, low, bulk, or 0 (most urgent) to 9.",
        autocompletion=lambda: list(LEVEL_OF_NAME),
    ),
]
ImagesPerJob = Annotated[
    int | None,
    typer.Option(
        min=1, max=MAX_ITEMS, help="The most images in one job. Default: chosen by file size."
    ),
]
Wait = Annotated[
    bool, typer.Option("--wait", "-w", help="Wait until every job has ended, and report failures.")
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        file_okay=False,
        help="Wait, and write results into this folder. Default: write none.",
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace results that exist. Default: do not start.")
]
SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", help="Send only images whose results do not exist yet.")
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Send nothing. Show which files go together and the paths of results."
    ),
]
OutputFormat = Annotated[Format, typer.Option("--format", "-f", help="Format of the results.")]
Quality = Annotated[
    int | None,
    typer.Option(
        min=1, max=100, help="Quality of JPEG (default: 95) and WebP (default: lossless)."
    ),
]
EffortOption = Annotated[
    Effort | None,
    typer.Option(
        "--effort",
        help="Effort to make PNG files small: small takes twenty times as long and saves 10 to "
        "30 % of the bytes. Default: fast.",
    ),
]
Block = Annotated[
    bool,
    typer.Option("--block", help="Wait for room if the queue or Redis is full. Default: stop."),
]
Deadline = Annotated[
    float | None,
    typer.Option(
        parser=time_between(0.1),
        metavar=METAVAR,
        help="Let a job expire if it has not started after this time. Default: never.",
    ),
]
Due = Annotated[
    float | None,
    typer.Option(
        parser=time_between(0.1),
        metavar=METAVAR,
        help="Move a job forward so that it is probably done within this time. Default: by its "
        "priority alone.",
    ),
]
Tenant = Annotated[
    str | None,
    typer.Option(
        "--tenant",
        metavar="NAME",
        help="For whom the jobs run: a name, or TEAM/USER. Workers are shared fairly between "
        "tenants. Default: nobody in particular.",
    ),
]


@dataclass(frozen=True)
class Options:
    """Values of the options that all `enqueue` commands share.

    `wait` is True if `out` is given.
    """

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
    tenant: str | None
    due_s: float | None


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
    effort: EffortOption = None,
    block: Block = False,
    deadline: Deadline = None,
    tenant: Tenant = None,
    due: Due = None,
    as_json: Json = False,
) -> Options:
    """Check the shared options.

    Raises:
        ParameterError: a value is not allowed, or two of them contradict each other.
    """
    if quality is not None and not FORMATS[image_format].has_quality:
        raise ParameterError(
            "--quality", str(quality), f"no --quality with the lossless format {image_format}"
        )
    if effort is not None and image_format != "png":
        raise ParameterError("--effort", effort, f"no --effort with {image_format}; it is for PNG")
    if overwrite and skip_existing:
        raise ParameterError("--overwrite", "given with --skip-existing", "one of the two")
    if tenant is not None:
        check_tenant(tenant)
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
        output=Output(format=image_format, quality=quality, effort=effort),
        as_json=as_json,
        block=block,
        deadline_s=deadline,
        tenant=tenant,
        due_s=due,
    )


with_send_options = with_options(read_options, "options")
"""Adds the shared options to a command, and passes them to it as its argument `options`."""
