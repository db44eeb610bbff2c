"""Assembles the command `agewell` from the modules of its commands."""

import sys
from typing import Annotated

import typer

from agewell.producer.cli import streams
from agewell.producer.cli.aging import aging
from agewell.producer.cli.bench import bench
from agewell.producer.cli.cancel import cancel
from agewell.producer.cli.dead import dead_app
from agewell.producer.cli.doctor import doctor
from agewell.producer.cli.enqueue import enqueue_app
from agewell.producer.cli.front_page import FrontPage, print_version
from agewell.producer.cli.infer import infer
from agewell.producer.cli.jobs import jobs
from agewell.producer.cli.models import models_app
from agewell.producer.cli.operations import operations
from agewell.producer.cli.pipeline import pipeline
from agewell.producer.cli.queues import queues
from agewell.producer.cli.result import result
from agewell.producer.cli.simulate import simulate
from agewell.producer.cli.status import status
from agewell.producer.cli.tenants import tenants_app
from agewell.producer.cli.top import top
from agewell.producer.cli.train_export import export, train_app
from agewell.producer.cli.up import up

app = typer.Typer(
    name="agewell",
    cls=FrontPage,
    help="Send image work to a fair job queue, run it, and fetch the results.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
enqueue_app.command()(pipeline)
enqueue_app.command()(infer)
app.add_typer(enqueue_app, name="enqueue")
models_app.add_typer(train_app, name="train")
models_app.command()(export)
models_app.command()(bench)
app.add_typer(models_app, name="models")
app.add_typer(tenants_app, name="tenants")
for command in (up, operations, status, result, cancel, jobs, queues, top, doctor, aging, simulate):
    app.command()(command)
app.add_typer(dead_app, name="dead")


@app.callback()
def _front_page(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            "-V",
            callback=print_version,
            is_eager=True,
            help="Print the versions of agewell and its main dependencies, and exit.",
        ),
    ] = False,
) -> None:
    """Send image work to a fair job queue, run it, and fetch the results."""


def main() -> None:
    """Run the command line. It goes on if stdout or stderr cannot be written to."""
    streams.guard()
    try:
        app()
    except SystemExit as end:
        sys.exit(streams.exit_status(end.code))
