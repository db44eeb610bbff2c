"""`agewell status`: shows the state of jobs."""

import typer

from agewell.producer.cli import terminal
from agewell.producer.cli.exit_codes import ExitCode, exit_codes
from agewell.producer.cli.options import JobIds, Json
from agewell.producer.session import open_session
from agewell.shared.queue.record import State

BAD = (State.FAILED, State.DEAD, State.EXPIRED)
"""States of a job that has ended without a result, other than cancelled."""


def status(ids: JobIds, as_json: Json = False) -> None:
    """Show the state of jobs. Exits with 1 if a job is unknown, failed, dead or expired.

    Example: agewell status f0918630-e7c0-4e93-8316-00b9d3a3c76e --json | jq .state
    """
    with exit_codes():
        ledger = open_session().ledger
        found = {job_id: ledger.get(job_id) for job_id in ids}
        records = [record for record in found.values() if record is not None]
        if as_json:
            for record in records:
                terminal.print_json(terminal.record_document(record))
        elif records:
            terminal.print_jobs(records)
        unknown = [job_id for job_id, record in found.items() if record is None]
        for job_id in unknown:
            terminal.print_unknown_job(job_id)
        bad = unknown or any(record.state in BAD for record in records)
        raise typer.Exit(ExitCode.SOME_FAILED if bad else ExitCode.DONE)
