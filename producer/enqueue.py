"""`agewell enqueue`: the three operations, as files and options."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer

from producer.batch import Options, Refs, send_and_report
from producer.exits import exit_codes
from producer.listing import OnBad, expand
from producer.pairing import broadcast
from producer.submit import Sources
from producer.times import METAVAR, time_between
from shared.errors import ParameterError
from shared.messages import (
    MAX_ITEMS,
    AlphaBlendItem,
    AlphaBlendJob,
    Format,
    HsvItem,
    HsvJob,
    Job,
    Offset,
    Output,
    PoissonBlendItem,
    PoissonBlendJob,
)
from shared.names import LEVEL_OF_NAME, level_from

enqueue_app = typer.Typer(name="enqueue", help="Send images to the queue.", no_args_is_help=True)

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
OutputFormat = Annotated[Format, typer.Option("--format", "-f", help="How results are encoded.")]
Quality = Annotated[
    int | None,
    typer.Option(min=1, max=100, help="Of JPEG (unset: 95) and WebP (unset: lossless)."),
]
Block = Annotated[
    bool, typer.Option("--block", help="Where the queue or Redis is full, wait for room.")
]
Deadline = Annotated[
    float | None,
    typer.Option(
        parser=time_between(0.1),
        metavar=METAVAR,
        help="A job that has not started by then expires.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document a job, on stdout.")]


def make_options(
    priority: str,
    images_per_job: int | None,
    wait: bool,
    out: Path | None,
    image_format: Format,
    quality: int | None,
    as_json: bool,
    block: bool,
    deadline_s: float | None,
) -> Options:
    """What every operation's command line says alike.

    Raises:
        ParameterError: a value is none that it can have.
    """
    if quality is not None and image_format not in ("jpeg", "webp"):
        raise ParameterError("--quality", str(quality), f"nothing: {image_format} is lossless")
    return Options(
        level=level_from(priority),
        images_per_job=images_per_job,
        wait=wait or out is not None,
        out=out,
        output=Output(format=image_format, quality=quality),
        as_json=as_json,
        block=block,
        deadline_s=deadline_s,
    )


@enqueue_app.command()
def hsv(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Files, folders, globs.")],
    full_range: Annotated[
        bool, typer.Option("--full-range", help="H over 0..255 rather than 0..179.")
    ] = False,
    priority: Priority = "normal",
    images_per_job: ImagesPerJob = None,
    wait: Wait = False,
    out: Out = None,
    image_format: OutputFormat = "png",
    quality: Quality = None,
    block: Block = False,
    deadline: Deadline = None,
    as_json: Json = False,
) -> None:
    """Convert images from BGR to HSV.

    Example: agewell enqueue hsv photos/ --priority bulk --out results/
    """
    with exit_codes():
        options = make_options(
            priority, images_per_job, wait, out, image_format, quality, as_json, block, deadline
        )

        def make_job(refs: Refs) -> Job:
            items = tuple(HsvItem(**each) for each in refs)
            return HsvJob(items=items, full_range=full_range, output=options.output)

        def sources(on_bad: OnBad) -> Iterator[Sources]:
            return ({"image": file} for file in expand(paths, on_bad))

        send_and_report(sources, make_job, options)


@enqueue_app.command()
def blend(
    foreground: Annotated[str, typer.Argument(help="A file, a folder or a glob.")],
    background: Annotated[str, typer.Argument(help="One file for all, or as many.")],
    alpha: Annotated[
        float | None,
        typer.Option(help="0 (background) to 1. Unset: the mask or the foreground's own alpha."),
    ] = None,
    mask: Annotated[
        str | None, typer.Option(help="A mask of the foreground's size, or as many as those.")
    ] = None,
    offset: Annotated[
        str, typer.Option(metavar="X,Y", help="The foreground's top left on the background.")
    ] = "0,0",
    priority: Priority = "normal",
    images_per_job: ImagesPerJob = None,
    wait: Wait = False,
    out: Out = None,
    image_format: OutputFormat = "png",
    quality: Quality = None,
    block: Block = False,
    deadline: Deadline = None,
    as_json: Json = False,
) -> None:
    """Lay foregrounds over backgrounds: by a constant alpha, a mask, or their own alpha.

    Example: agewell enqueue blend logo.png photos/ --offset 20,20 --out results/
    """
    with exit_codes():
        options = make_options(
            priority, images_per_job, wait, out, image_format, quality, as_json, block, deadline
        )
        at = _offset("--offset", offset)
        _check_alpha(alpha)

        def make_job(refs: Refs) -> Job:
            items = tuple(AlphaBlendItem(**each) for each in refs)
            return AlphaBlendJob(items=items, alpha=alpha, offset=at, output=options.output)

        sides = {"foreground": foreground, "background": background, "mask": mask}
        send_and_report(lambda _: broadcast(sides), make_job, options)


@enqueue_app.command()
def poisson(
    source: Annotated[str, typer.Argument(help="What to blend in: a file, a folder or a glob.")],
    mask: Annotated[str, typer.Argument(help="Where it shows: white on black.")],
    destination: Annotated[str, typer.Argument(help="One file for all, or as many.")],
    gradient: Annotated[
        Literal["src", "max", "avg"],
        typer.Option(help="The source's gradients, the stronger of both, or their mean."),
    ] = "src",
    at: Annotated[
        str, typer.Option(metavar="X,Y", help="The mask's top left on the destination.")
    ] = "0,0",
    source_at: Annotated[
        str | None,
        typer.Option(metavar="X,Y", help="The mask's top left on the source, if sizes differ."),
    ] = None,
    priority: Priority = "normal",
    images_per_job: ImagesPerJob = None,
    wait: Wait = False,
    out: Out = None,
    image_format: OutputFormat = "png",
    quality: Quality = None,
    block: Block = False,
    deadline: Deadline = None,
    as_json: Json = False,
) -> None:
    """Blend sources seamlessly into destinations, by their gradients (Poisson blending).

    Example: agewell enqueue poisson bird.jpg bird-mask.png sky.jpg --at 840,110 --out results/
    """
    with exit_codes():
        options = make_options(
            priority, images_per_job, wait, out, image_format, quality, as_json, block, deadline
        )
        on_destination = _offset("--at", at)
        on_source = None if source_at is None else _offset("--source-at", source_at)

        def make_job(refs: Refs) -> Job:
            return PoissonBlendJob(
                items=tuple(PoissonBlendItem(**each) for each in refs),
                gradient=gradient,
                mask_on_source=on_source,
                mask_on_destination=on_destination,
                output=options.output,
            )

        sides = {"source": source, "mask": mask, "destination": destination}
        send_and_report(lambda _: broadcast(sides), make_job, options)


def _offset(option: str, text: str) -> Offset:
    x, _, y = text.partition(",")
    try:
        return int(x), int(y)
    except ValueError:
        raise ParameterError(option, repr(text), "X,Y in whole pixels, such as 20,-5") from None


def _check_alpha(alpha: float | None) -> None:
    if alpha is not None and not 0 <= alpha <= 1:
        raise ParameterError("--alpha", str(alpha), "0 to 1")
