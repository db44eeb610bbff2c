"""`agewell up`: runs the whole stack on one machine."""

from typing import Annotated

import typer

from agewell.producer.cli import terminal
from agewell.producer.cli.exit_codes import exit_codes
from agewell.producer.cli.options import shown_as
from agewell.producer.up.infer_workers import gpus_from
from agewell.producer.up.stack import run_stack
from agewell.shared.settings import Settings
from agewell.shared.state_dir import Running

Gpus = Annotated[
    str | None,
    shown_as(
        "WHICH",
        "Start an infer worker for each of these GPUs: all, how many, or which. These are "
        "indexes, UUIDs or names of MIG devices, such as 0,2 or GPU-5d5ba0d6. A single number "
        "is how many, except for 0. Use device=1 for the GPU of that index. Default: one infer "
        "worker.",
    ),
]
JsonEvents = Annotated[
    bool, typer.Option("--json", help="Print one JSON document per event, instead of text.")
]


def up(gpus: Gpus = None, as_json: JsonEvents = False) -> None:
    """Run the whole stack in this terminal: Redis, workers, beat, Flower.

    Ctrl-C lets running jobs end, then stops everything. A second Ctrl-C does not wait for them.

    Example: AGEWELL_CONCURRENCY=4 agewell up
    """

    def report(part: str, event: str) -> None:
        if as_json:
            terminal.print_json({"part": part, "what": event})
        else:
            terminal.print_status(part, event)

    def print_ready(running: Running) -> None:
        metrics = f"; metrics at {running.metrics_url}" if running.metrics_url else ""
        report("agewell", f"all ready; Flower at {running.flower_url}{metrics}; Ctrl-C stops")

    with exit_codes():
        run_stack(Settings.load(), report, print_ready, gpus_from(gpus))
