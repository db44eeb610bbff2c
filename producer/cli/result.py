"""`agewell result`: writes the results of one job to files."""

from pathlib import Path
from typing import Annotated

import typer

from agewell.producer.cli import terminal
from agewell.producer.cli.exit_codes import ExitCode, exit_codes
from agewell.producer.cli.options import Json, shown_as
from agewell.producer.receiving.collect import Collector
from agewell.producer.receiving.outcome import Outcome
from agewell.producer.receiving.write import ResultWriter, Written, write_file
from agewell.producer.session import Session, open_session
from agewell.shared.errors import AgewellError, ParameterError
from agewell.shared.protocol.messages import ImageRef

JobId = Annotated[
    str, typer.Argument(metavar="ID", help="Id of a job, as `agewell enqueue` prints it.")
]
Out = Annotated[
    str,
    shown_as(
        "PATH",
        "Where to write: a file, or a folder, which exists or ends in /. "
        "Several images need a folder.",
        "--out",
        "-o",
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite", help="Replace files that exist with other contents. Default: report them."
    ),
]


def result(job_id: JobId, out: Out, overwrite: Overwrite = False, as_json: Json = False) -> None:
    """Write the results of a job to a file or a folder.

    Example: agewell result f0918630-e7c0-4e93-8316-00b9d3a3c76e --out results/
    """
    with exit_codes():
        session = open_session()
        outcome = Collector(session.app, session.client, session.settings).get(job_id)
        if outcome is None:
            _explain_missing(session, job_id)
            raise typer.Exit(ExitCode.SOME_FAILED)
        written = Written()
        if outcome.error is None:
            written = _write(session, outcome, out, overwrite=overwrite)
        _print(outcome, written, as_json=as_json)
        failed = terminal.print_failures(outcome) + terminal.print_unwritten(
            job_id, written.failures
        )
        raise typer.Exit(ExitCode.SOME_FAILED if failed else ExitCode.DONE)


def _print(outcome: Outcome, written: Written, *, as_json: bool) -> None:
    """Print the files that were written and the predictions."""
    if as_json:
        terminal.print_json(terminal.outcome_document(outcome) | written.document())
        return
    for path in written.paths:
        terminal.print_line(str(path))
    terminal.print_predictions(outcome.items, header=True)


def _write(session: Session, outcome: Outcome, out: str, *, overwrite: bool) -> Written:
    images = [item.image for item in outcome.items if item.image is not None]
    if len(images) == 1 and len(outcome.items) == 1 and not _is_folder(out):
        return _write_one(session, images[0], Path(out), overwrite=overwrite)
    if Path(out).is_file():
        raise ParameterError("--out", f"the file {out}", f"a folder, for {len(images)} images")
    return ResultWriter(session.blobs, Path(out), overwrite=overwrite).write(outcome.items)


def _is_folder(out: str) -> bool:
    return out.endswith("/") or Path(out).is_dir()


def _write_one(session: Session, image: ImageRef, path: Path, *, overwrite: bool) -> Written:
    try:
        data = session.blobs.get(image)
        return Written([write_file(path, data, overwrite=overwrite)])
    except AgewellError as error:
        return Written(failures=[(path, error)])


def _explain_missing(session: Session, job_id: str) -> None:
    record = session.ledger.get(job_id)
    if record is None:
        terminal.print_unknown_job(job_id)
    else:
        terminal.print_error(f"job {job_id} has no result yet: {record.state.value}")
