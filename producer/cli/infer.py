"""`agewell enqueue infer`: sends images to a model."""

import re
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from agewell.producer.cli.model_options import with_model_options
from agewell.producer.cli.model_problems import warn_of_problems
from agewell.producer.cli.options import shown_as
from agewell.producer.cli.send import send_and_report
from agewell.producer.cli.send_options import Options, Paths, with_send_options
from agewell.producer.receiving.result_names import own_results
from agewell.producer.sending.listing import OnBad, expand, only_file
from agewell.producer.sending.plan import Sources
from agewell.producer.sending.submit import Fields
from agewell.producer.session import Session
from agewell.shared.errors import BadJobError, ParameterError
from agewell.shared.protocol.messages import MAX_ITEMS, InferItem, InferJob, Job, read_job
from agewell.shared.protocol.tasks import Queue

_COLOUR = re.compile(r"#?([0-9a-fA-F]{6})")


ModelName = Annotated[
    str, typer.Argument(metavar="MODEL", help="Name of the model, see `agewell models list`.")
]
Palette = Annotated[
    str | None,
    shown_as("COLOURS", "Colours for a colorizer: '#8fb3d9,#3a5f3c'. Default: its own choice."),
]
Reference = Annotated[
    str | None, shown_as("PATH", "A photo with the colours to use. Default: none.")
]
Tap = Annotated[
    str | None,
    shown_as("POINT", "Also return this intermediate array, as .npz and .png. Default: none."),
]


@with_send_options
@with_model_options
def infer(
    model: ModelName,
    paths: Paths,
    version: Annotated[
        str | None, typer.Option(help="Version of the model. Default: the active one.")
    ] = None,
    palette: Palette = None,
    reference: Reference = None,
    tap: Tap = None,
    *,
    parameters: dict[str, Any],
    options: Options,
) -> None:
    """Run a model on images, to get new images or predictions.

    Example: agewell enqueue infer digits scans/ --wait
    """
    given: dict[str, Any] = {"model": model, "version": version, "tap": tap}
    given |= {"palette": _palette(palette), "parameters": parameters}
    _check(given)
    photo = None if reference is None else only_file(reference, "--reference", "one photo")

    def sources(on_bad: OnBad) -> Iterator[Sources]:
        for file in expand(paths, on_bad, own_results(options.out, model)):
            yield {"image": file} if photo is None else {"image": file, "reference": photo}

    def make_job(items: list[Fields]) -> Job:
        return _job(items, output=options.output, **given)

    extras = (f".{tap}.npz", f".{tap}.png") if tap else ()

    def warn(session: Session) -> None:
        warn_of_problems(session, model, version)

    send_and_report(model, sources, make_job, options, extras, warn, Queue.INFER)


def _job(items: list[Fields], **given: Any) -> InferJob:
    """Make a job of items. All have the same reference, which is a field of the job."""
    references = [each.pop("reference", None) for each in items]
    made = tuple(InferItem(**each) for each in items)
    return InferJob(items=made, reference=references[0], **given)


def _palette(text: str | None) -> tuple[str, ...]:
    colours = [each.strip() for each in text.split(",")] if text else []
    found = [_COLOUR.fullmatch(each) for each in colours]
    if not all(found) or len(colours) > MAX_ITEMS:
        allowed = f"1 to {MAX_ITEMS} colours such as #8fb3d9,#3a5f3c"
        raise ParameterError("--palette", repr(text), allowed)
    return tuple(f"#{each[1]}" for each in found if each)


def _check(given: dict[str, Any]) -> None:
    """Check the names of the model, its version and its parameters before images are sent."""
    placeholder = {"uri": "data:", "sha256": "0" * 64, "size_bytes": 0, "media_type": "image/png"}
    document = {name: value for name, value in given.items() if value is not None}
    try:
        read_job({"items": [{"image": placeholder}], **document}, InferJob)
    except BadJobError as error:
        raise ParameterError("the job", error.reason, "see `agewell models list`") from None
