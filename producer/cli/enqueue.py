"""`agewell enqueue`: sends files to the three image operations."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import typer

from agewell.producer.cli.options import shown_as
from agewell.producer.cli.send import send_and_report
from agewell.producer.cli.send_options import Options, Paths, with_send_options
from agewell.producer.receiving.result_names import own_results
from agewell.producer.sending.listing import OnBad, expand
from agewell.producer.sending.pairing import broadcast
from agewell.producer.sending.plan import Sources
from agewell.producer.sending.submit import Fields
from agewell.shared.errors import ParameterError
from agewell.shared.protocol.messages import (
    PIXELS_MAX,
    PIXELS_MIN,
    AlphaBlendItem,
    AlphaBlendJob,
    HsvItem,
    HsvJob,
    Job,
    Offset,
    PoissonBlendItem,
    PoissonBlendJob,
)

enqueue_app = typer.Typer(
    name="enqueue", help="Send images to a queue, to be processed by workers.", no_args_is_help=True
)


@enqueue_app.command()
@with_send_options
def hsv(
    paths: Paths,
    full_range: Annotated[
        bool, typer.Option("--full-range", help="Scale H to 0..255. Default: 0..179.")
    ] = False,
    *,
    options: Options,
) -> None:
    """Convert images from BGR to HSV colours.

    Example: agewell enqueue hsv photos/ --priority bulk --out results/
    """

    def make_job(items: list[Fields]) -> Job:
        made = tuple(HsvItem(**each) for each in items)
        return HsvJob(items=made, full_range=full_range, output=options.output)

    def sources(on_bad: OnBad) -> Iterator[Sources]:
        own = own_results(options.out, "hsv")
        return ({"image": file} for file in expand(paths, on_bad, own))

    send_and_report("hsv", sources, make_job, options)


Foreground = Annotated[
    str, typer.Argument(help="Images to lay on top: a file, a folder or a glob.")
]
Background = Annotated[str, typer.Argument(help="Images below. One file goes with all the others.")]
Alpha = Annotated[
    float | None,
    typer.Option(
        help="Opacity of the foreground, 0 to 1. Default: the mask, or its alpha channel."
    ),
]
ForegroundMask = Annotated[
    str | None,
    typer.Option(help="Masks of the foregrounds' size. One file goes with all. Default: none."),
]
ForegroundPlace = Annotated[
    str, shown_as("X,Y", "Top left corner of the foreground, in pixels of the background.")
]


@enqueue_app.command()
@with_send_options
def blend(
    foreground: Foreground,
    background: Background,
    alpha: Alpha = None,
    mask: ForegroundMask = None,
    offset: ForegroundPlace = "0,0",
    *,
    options: Options,
) -> None:
    """Lay foregrounds over backgrounds, by a constant alpha, a mask or their alpha channel.

    Example: agewell enqueue blend logo.png photos/ --offset 20,20 --out results/
    """
    at = _offset("--offset", offset)
    _check_alpha(alpha)

    def make_job(items: list[Fields]) -> Job:
        made = tuple(AlphaBlendItem(**each) for each in items)
        return AlphaBlendJob(items=made, alpha=alpha, offset=at, output=options.output)

    sides = {"foreground": foreground, "background": background, "mask": mask}
    own = own_results(options.out, "alpha_blend")
    send_and_report("alpha_blend", lambda _: broadcast(sides, own), make_job, options)


Source = Annotated[str, typer.Argument(help="Images to blend in: a file, a folder or a glob.")]
SourceMask = Annotated[
    str, typer.Argument(help="Masks of the sources, white on black. One file goes with all.")
]
Destination = Annotated[
    str, typer.Argument(help="Images to blend into. One file goes with all the others.")
]
Gradient = Annotated[
    Literal["src", "max", "avg"],
    typer.Option(help="Gradients to keep: of the source, the stronger of both, or their mean."),
]
PlaceOnDestination = Annotated[
    str, shown_as("X,Y", "Top left corner of the mask, in pixels of the destination.")
]
PlaceOnSource = Annotated[
    str | None,
    shown_as(
        "X,Y", "Top left corner of the mask, in pixels of the source. Needed if sizes differ."
    ),
]


@enqueue_app.command()
@with_send_options
def poisson(
    source: Source,
    mask: SourceMask,
    destination: Destination,
    gradient: Gradient = "src",
    at: PlaceOnDestination = "0,0",
    source_at: PlaceOnSource = None,
    *,
    options: Options,
) -> None:
    """Blend sources seamlessly into destinations (Poisson blending).

    Example: agewell enqueue poisson bird.jpg bird-mask.png sky.jpg --at 840,110 --out results/
    """
    given: dict[str, Any] = {
        "gradient": gradient,
        "mask_on_destination": _offset("--at", at),
        "mask_on_source": None if source_at is None else _offset("--source-at", source_at),
        "output": options.output,
    }

    def make_job(items: list[Fields]) -> Job:
        return PoissonBlendJob(items=tuple(PoissonBlendItem(**each) for each in items), **given)

    sides = {"source": source, "mask": mask, "destination": destination}
    own = own_results(options.out, "poisson_blend")
    send_and_report("poisson_blend", lambda _: broadcast(sides, own), make_job, options)


def _offset(option: str, text: str) -> Offset:
    x, _, y = text.partition(",")
    try:
        offset = int(x), int(y)
    except ValueError:
        raise ParameterError(option, repr(text), "X,Y in whole pixels, such as 20,-5") from None
    if not all(PIXELS_MIN <= each <= PIXELS_MAX for each in offset):
        raise ParameterError(option, repr(text), f"{PIXELS_MIN} to {PIXELS_MAX} pixels")
    return offset


def _check_alpha(alpha: float | None) -> None:
    if alpha is not None and not 0 <= alpha <= 1:
        raise ParameterError("--alpha", str(alpha), "0 to 1")
