"""`agewell cancel`: cancels jobs."""

import typer

from agewell.producer.cli import terminal
from agewell.producer.cli.exit_codes import ExitCode, exit_codes
from agewell.producer.cli.options import JobIds, Json
from agewell.producer.sending.cancel import cancel_job
from agewell.producer.session import open_session
from agewell.shared.queue.record import State


def cancel(ids: JobIds, as_json: Json = False) -> None:
    """Cancel jobs. A waiting job will not run, and a running one ends at its next step.

    Example: agewell enqueue hsv photos/ --json | jq -r .id | xargs agewell cancel
    """
    with exit_codes():
        session = open_session()
        befores = [(job_id, cancel_job(session, job_id)) for job_id in ids]
        for job_id, before in befores:
            if as_json:
                state = None if before is None else before.state.value
                terminal.print_json({"id": job_id, "state_before": state})
            if before is None:
                terminal.print_unknown_job(job_id)
            elif before.state.ended:
                terminal.print_error(f"job {job_id} has ended already: {before.state.value}")
            elif as_json:
                continue
            elif before.state is State.RUNNING:
                terminal.print_line(f"{job_id} runs; it ends at its next step")
            else:
                terminal.print_line(f"{job_id} cancelled")
        bad = any(before is None or before.state.ended for _, before in befores)
        raise typer.Exit(ExitCode.SOME_FAILED if bad else ExitCode.DONE)
