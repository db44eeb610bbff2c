"""`agewell enqueue pipeline`: runs several operations on each image."""

from collections.abc import Iterator
from typing import Annotated

import typer

from agewell.producer.cli.send import send_and_report
from agewell.producer.cli.send_options import Options, Paths, with_send_options
from agewell.producer.receiving.result_names import own_results
from agewell.producer.sending.listing import OnBad, expand
from agewell.producer.sending.offered import OfferedSchemas
from agewell.producer.sending.pipelines import PlannedStep, plan_steps
from agewell.producer.sending.plan import Sources
from agewell.producer.sending.submit import Fields
from agewell.producer.session import open_session
from agewell.shared.protocol.messages import Job, PipelineItem, PipelineJob, Step
from agewell.shared.protocol.tasks import PIPELINE

Steps = Annotated[
    str,
    typer.Argument(
        metavar="STEPS",
        help="Operations separated by |, each with its parameters as NAME=VALUE, or a YAML file.",
    ),
]


@with_send_options
def pipeline(steps: Steps, paths: Paths, *, options: Options) -> None:
    """Run several operations on each image. It is decoded once and encoded once.

    Example: agewell enqueue pipeline 'resize width=1600 | sharpen' photos/ --out results/
    """
    planned = plan_steps(steps, OfferedSchemas(lambda: open_session().client))
    shared = {
        _key(n, role): file for n, step in enumerate(planned) for role, file in step.files.items()
    }

    def sources(on_bad: OnBad) -> Iterator[Sources]:
        own = own_results(options.out, PIPELINE)
        return ({"image": file} | shared for file in expand(paths, on_bad, own))

    def make_job(items: list[Fields]) -> Job:
        made = tuple(
            PipelineItem(image=each["image"], output_name=each.get("output_name")) for each in items
        )
        run = tuple(_step(n, each, items[0]) for n, each in enumerate(planned))
        return PipelineJob(items=made, steps=run, output=options.output)

    send_and_report(PIPELINE, sources, make_job, options)


def _key(number: int, role: str) -> str:
    """Return the name of a step's image among the files of an item."""
    return f"{number}.{role}"


def _step(number: int, planned: PlannedStep, fields: Fields) -> Step:
    images = {role: fields[_key(number, role)] for role in planned.files}
    return Step(op=planned.op, **planned.parameters, **images)
