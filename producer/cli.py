"""The command `agewell`."""

import contextlib
import sys
from typing import Annotated

import typer

from producer import show, streams
from producer.aging_cli import aging
from producer.cancel import cancel_job
from producer.dead_cli import dead_app
from producer.doctor import doctor
from producer.enqueue import enqueue_app
from producer.enqueue_infer import infer
from producer.exits import ExitCode, exit_codes
from producer.front import FrontPage, print_version
from producer.infer_workers import gpus_from
from producer.jobs_cli import jobs
from producer.models_cli import models_app
from producer.models_make import export, train_app
from producer.queue_rows import print_queues
from producer.result_cli import result
from producer.send_options import Json
from producer.session import open_session
from producer.simulate_cli import simulate
from producer.times import METAVAR, time_between
from producer.top import follow, print_json
from producer.top import run as run_top
from producer.up import run_stack
from shared.errors import ParameterError
from shared.queue.record import State
from shared.queue.status import queue_status
from shared.settings import Settings
from shared.state_dir import Running

app = typer.Typer(
    name="agewell",
    cls=FrontPage,
    help="Image work behind a queue that is fair.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
enqueue_app.command()(infer)
app.add_typer(enqueue_app, name="enqueue")
models_app.add_typer(train_app, name="train")
models_app.command()(export)
app.add_typer(models_app, name="models")
app.command()(result)
app.command()(simulate)
app.command()(doctor)
app.command()(jobs)
app.command()(aging)
app.add_typer(dead_app, name="dead")

BAD = (State.FAILED, State.DEAD, State.EXPIRED)
"""The states in which a job has ended without its result, though nobody cancelled it."""

JobIds = Annotated[list[str], typer.Argument(metavar="ID", help="Job ids.")]


@app.callback()
def _front_page(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            "-V",
            callback=print_version,
            is_eager=True,
            help="Print versions, and exit.",
        ),
    ] = False,
) -> None:
    """Image work behind a queue that is fair."""


def main() -> None:
    """Run the command line; a stdout or stderr that cannot be written to ends nothing."""
    streams.guard()
    try:
        app()
    except SystemExit as end:
        sys.exit(streams.settle(end.code))


@app.command()
def up(
    gpus: Annotated[
        str | None,
        typer.Option(metavar="WHICH", help="An infer worker for each: all, a number, or 0,2."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document for each thing that happens.")
    ] = False,
) -> None:
    """Run the whole stack here, in the foreground: Redis, workers, beat, Flower.

    Ctrl-C lets running jobs end, and stops all; a second one does not wait.

    Example: AGEWELL_CONCURRENCY=4 agewell up
    """

    def report(part: str, what: str) -> None:
        if as_json:
            show.json_line({"part": part, "what": what})
        else:
            show.status(part, what)

    def say_ready(running: Running) -> None:
        metrics = f"; metrics at {running.metrics_url}" if running.metrics_url else ""
        report("agewell", f"all ready; Flower at {running.flower_url}{metrics}; Ctrl-C stops")

    with exit_codes():
        run_stack(Settings.load(), report, say_ready, gpus_from(gpus))


@app.command()
def status(ids: JobIds, as_json: Json = False) -> None:
    """Show where jobs stand. Exits with 1 if one is unknown or has no result.

    Example: agewell status f0918630-e7c0-4e93-8316-00b9d3a3c76e --json | jq .state
    """
    with exit_codes():
        ledger = open_session().ledger
        found = {job_id: ledger.get(job_id) for job_id in ids}
        entries = [entry for entry in found.values() if entry is not None]
        if as_json:
            for entry in entries:
                show.json_line(show.entry_document(entry))
        elif entries:
            show.print_jobs(entries)
        unknown = [job_id for job_id, entry in found.items() if entry is None]
        for job_id in unknown:
            show.unknown_job(job_id)
        bad = unknown or any(entry.state in BAD for entry in entries)
        raise typer.Exit(ExitCode.SOME_FAILED if bad else ExitCode.DONE)


@app.command()
def cancel(ids: JobIds, as_json: Json = False) -> None:
    """Cancel jobs: a waiting one will not run, a running one ends at its next step.

    Example: agewell enqueue hsv photos/ --json | jq -r .id | xargs agewell cancel
    """
    with exit_codes():
        session = open_session()
        befores = [(job_id, cancel_job(session, job_id)) for job_id in ids]
        for job_id, before in befores:
            if as_json:
                state = None if before is None else before.state.value
                show.json_line({"id": job_id, "state_before": state})
            if before is None:
                show.unknown_job(job_id)
            elif before.state.ended:
                show.error(f"job {job_id} has ended already: {before.state.value}")
            elif as_json:
                continue
            elif before.state is State.RUNNING:
                show.line(f"{job_id} runs; it ends at its next step")
            else:
                show.line(f"{job_id} cancelled")
        bad = any(before is None or before.state.ended for _, before in befores)
        raise typer.Exit(ExitCode.SOME_FAILED if bad else ExitCode.DONE)


@app.command()
def queues(as_json: Json = False) -> None:
    """Show what waits: per queue and level, the oldest wait, and what workers hold.

    Example: agewell queues --json | jq '.queue, ([.levels[].waiting] | add)'
    """
    with exit_codes():
        session = open_session()
        found = queue_status(session.client, session.settings, session.now())
        if as_json:
            print_json(found)
        else:
            print_queues(found)


@app.command()
def top(
    interval: Annotated[
        float,
        typer.Option(
            parser=time_between(0.2, 60), metavar=METAVAR, help="How often to look at the queues."
        ),
    ] = 1.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="At each look, one JSON document a queue.")
    ] = False,
) -> None:
    """Show the queues live: what waits, how long, how fast jobs start; Ctrl-C leaves.

    Example: agewell top --interval 0.5
    """
    with exit_codes(), contextlib.suppress(KeyboardInterrupt):
        if not (as_json or show.out.is_terminal):
            raise ParameterError("top", "in a pipe", "a terminal, or --json")
        (follow if as_json else run_top)(open_session(), interval)
