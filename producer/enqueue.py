"""`agewell enqueue`: the three operations, as files and options."""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from producer import show
from producer.collect import Collector, ResultWriter
from producer.exits import ExitCode, exit_codes
from producer.files import LocalFile, expand
from producer.session import Session, open_session
from producer.submit import Sent, Sources, Submitter
from shared.errors import BadFileError, ParameterError
from shared.messages import (
    MAX_ITEMS,
    AlphaBlendItem,
    AlphaBlendJob,
    Format,
    HsvItem,
    HsvJob,
    ImageRef,
    Job,
    Offset,
    Output,
    PoissonBlendItem,
    PoissonBlendJob,
)
from shared.names import level_from

enqueue_app = typer.Typer(name="enqueue", help="Send images to the queue.", no_args_is_help=True)

Refs = list[dict[str, ImageRef]]


@dataclass(frozen=True)
class Options:
    """What the three operations' command lines have in common."""

    level: int
    images_per_job: int | None
    wait: bool
    out: Path | None
    output: Output
    as_json: bool


Priority = Annotated[
    str,
    typer.Option(
        "--priority", "-p", help="urgent, high, normal, low, bulk, or 0 (most urgent) to 9."
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
Json = Annotated[bool, typer.Option("--json", help="One JSON document a job, on stdout.")]


def _options(
    priority: str,
    images_per_job: int | None,
    wait: bool,
    out: Path | None,
    image_format: Format,
    quality: int | None,
    as_json: bool,
) -> Options:
    if quality is not None and image_format not in ("jpeg", "webp"):
        raise ParameterError("--quality", str(quality), f"nothing: {image_format} is lossless")
    return Options(
        level=level_from(priority),
        images_per_job=images_per_job,
        wait=wait or out is not None,
        out=out,
        output=Output(format=image_format, quality=quality),
        as_json=as_json,
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
    as_json: Json = False,
) -> None:
    """Convert images from BGR to HSV.

    Example: agewell enqueue hsv photos/ --priority bulk --out results/
    """
    with exit_codes():
        options = _options(priority, images_per_job, wait, out, image_format, quality, as_json)

        def make_job(refs: Refs) -> Job:
            items = tuple(HsvItem(**each) for each in refs)
            return HsvJob(items=items, full_range=full_range, output=options.output)

        _enqueue(lambda: ({"image": file} for file in expand(paths)), make_job, options)


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
    as_json: Json = False,
) -> None:
    """Lay foregrounds over backgrounds: by a constant alpha, a mask, or their own alpha.

    Example: agewell enqueue blend logo.png photos/ --offset 20,20 --out results/
    """
    with exit_codes():
        options = _options(priority, images_per_job, wait, out, image_format, quality, as_json)
        at = _offset("--offset", offset)
        _check_alpha(alpha)

        def make_job(refs: Refs) -> Job:
            items = tuple(AlphaBlendItem(**each) for each in refs)
            return AlphaBlendJob(items=items, alpha=alpha, offset=at, output=options.output)

        sides = {"foreground": foreground, "background": background, "mask": mask}
        _enqueue(lambda: broadcast(sides), make_job, options)


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
    as_json: Json = False,
) -> None:
    """Blend sources seamlessly into destinations, by their gradients (Poisson blending).

    Example: agewell enqueue poisson bird.jpg bird-mask.png sky.jpg --at 840,110 --out results/
    """
    with exit_codes():
        options = _options(priority, images_per_job, wait, out, image_format, quality, as_json)
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
        _enqueue(lambda: broadcast(sides), make_job, options)


def _offset(option: str, text: str) -> Offset:
    x, _, y = text.partition(",")
    try:
        return int(x), int(y)
    except ValueError:
        raise ParameterError(option, repr(text), "X,Y in whole pixels, such as 20,-5") from None


def _check_alpha(alpha: float | None) -> None:
    if alpha is not None and not 0 <= alpha <= 1:
        raise ParameterError("--alpha", str(alpha), "0 to 1")


def broadcast(patterns: Mapping[str, str | None]) -> Iterator[Sources]:
    """Match the files of several patterns one to one; a single file goes with all of the others.

    Raises:
        BadFileError: the patterns stand for different numbers of files, none of them one.
    """
    sides = {field: pattern for field, pattern in patterns.items() if pattern is not None}
    streams: dict[str, Iterator[LocalFile]] = {}
    for field, pattern in sides.items():
        files = expand([pattern])
        head = list(itertools.islice(files, 2))
        streams[field] = itertools.chain(head, files) if len(head) > 1 else itertools.cycle(head)
    single = {field for field, stream in streams.items() if isinstance(stream, itertools.cycle)}
    if single == set(sides):
        yield {field: next(stream) for field, stream in streams.items()}
        return
    yield from _zip(sides, streams, single)


def _zip(
    sides: dict[str, str], streams: dict[str, Iterator[LocalFile]], single: set[str]
) -> Iterator[Sources]:
    many = [field for field in sides if field not in single]
    while True:
        found = {field: next(streams[field], None) for field in many}
        if all(file is None for file in found.values()):
            return
        for field, file in found.items():
            if file is None:
                raise BadFileError(sides[field], f"fewer files than {_others(sides, many, field)}")
        pair = {field: file for field, file in found.items() if file is not None}
        yield pair | {field: next(streams[field]) for field in single}


def _others(sides: dict[str, str], many: list[str], field: str) -> str:
    return " and ".join(sides[other] for other in many if other != field)


def _enqueue(
    sources: Callable[[], Iterator[Sources]],
    make_job: Callable[[Refs], Job],
    options: Options,
) -> None:
    """Send, wait if asked to, report, and exit."""
    session = open_session()
    submitter = Submitter(session, make_job=make_job, level=options.level)
    started = time.monotonic()
    sent = _send(submitter, sources, options)
    for bad in submitter.bad_files:
        show.error(str(bad))
    items = sum(each.items for each in sent)
    if options.wait:
        failed = _wait(session, sent, options)
        _summarise(items, len(sent), failed, time.monotonic() - started, options)
    else:
        failed = 0
        images, jobs = show.count(items, "image"), show.count(len(sent), "job")
        show.note(f"{images} sent as {jobs}, {show.level_name(options.level)}")
        if not options.as_json:
            show.job_ids(each.job_id for each in sent)
    code = ExitCode.SOME_FAILED if failed or submitter.bad_files else ExitCode.DONE
    raise typer.Exit(code)


def _send(
    submitter: Submitter, sources: Callable[[], Iterator[Sources]], options: Options
) -> list[Sent]:
    sent = []
    with show.progress() as progress:
        bar = progress.add_task("sent", total=sum(1 for _ in sources()))
        jobs = submitter.submit(
            sources(), options.images_per_job, lambda n: progress.advance(bar, n)
        )
        for each in jobs:
            sent.append(each)
            if options.as_json and not options.wait:
                show.json_line({"id": each.job_id, "state": "waiting", "images": each.items})
    return sent


def _wait(session: Session, sent: list[Sent], options: Options) -> int:
    """Collect every job's result; how many items failed."""
    collector = Collector(session.app, session.client, session.settings)
    items_of = {each.job_id: each.items for each in sent}
    writer = ResultWriter(session.blobs, options.out) if options.out is not None else None
    failed = 0
    with show.progress() as progress:
        bar = progress.add_task("done", total=sum(items_of.values()))
        for outcome in collector.outcomes(items_of):
            document: dict[str, Any] = show.outcome_document(outcome)
            failed += show.failures(outcome)
            if writer is not None:
                document["files"] = [str(path) for path in writer.write(outcome.items)]
            if options.as_json:
                show.json_line(document)
            progress.advance(bar, items_of[outcome.job_id])
    return failed


def _summarise(items: int, jobs: int, failed: int, seconds: float, options: Options) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("images", "jobs", "failed", "seconds", "images/s"):
        table.add_column(heading, justify="right")
    table.add_column("output")
    rate = f"{items / seconds:.1f}"
    where = str(options.out) if options.out is not None else "-"
    table.add_row(f"{items:,}", f"{jobs:,}", f"{failed:,}", f"{seconds:.1f}", rate, where)
    show.err.print(table)
