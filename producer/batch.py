"""Sending many jobs, waiting for them where asked to, and saying how it went."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from producer import show
from producer.collect import Collector, ResultWriter
from producer.exits import ExitCode
from producer.listing import OnBad
from producer.publish import Sent
from producer.room import FullError, refuse
from producer.session import Session, open_session
from producer.submit import Sources, Submitter
from producer.tables import Column, print_table
from shared.errors import BadFileError, PassingError
from shared.messages import ImageRef, Job, Output

WAIT_NOTE_INTERVAL_S = 10.0

SUMMARY_COLUMNS = (
    Column("images", right=True),
    Column("jobs", right=True),
    Column("failed", right=True),
    Column("seconds", right=True),
    Column("images/s", right=True, drop=1),
    Column("output", flexible=True),
)

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
    block: bool = False
    deadline_s: float | None = None


def send_and_report(
    sources: Callable[[OnBad], Iterator[Sources]],
    make_job: Callable[[Refs], Job],
    options: Options,
) -> None:
    """Send, wait if asked to, report, and exit."""
    session = open_session()
    started = time.monotonic()
    submitter, sent = _send(session, sources, make_job, options)
    for bad in submitter.bad_files:
        show.error(bad)
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
    session: Session,
    sources: Callable[[OnBad], Iterator[Sources]],
    make_job: Callable[[Refs], Job],
    options: Options,
) -> tuple[Submitter, list[Sent]]:
    sent: list[Sent] = []
    with show.progress() as progress:
        bar = progress.add_task("sent", total=sum(1 for _ in sources(_ignore)))

        on_full = _SayWhyWeWait() if options.block else refuse
        submitter = Submitter(
            session,
            make_job=make_job,
            level=options.level,
            deadline_s=options.deadline_s,
            on_full=on_full,
        )
        jobs = submitter.submit(
            sources(submitter.add_bad),
            options.images_per_job,
            lambda n: progress.advance(bar, n),
        )
        try:
            for each in jobs:
                sent.append(each)
                if options.as_json and not options.wait:
                    show.json_line({"id": each.job_id, "state": "waiting", "images": each.items})
        except PassingError:
            _say_what_was_sent(sent, options)
            raise
    return submitter, sent


def _ignore(_: BadFileError) -> None:
    """Said when the files are read to be sent."""


def _say_what_was_sent(sent: list[Sent], options: Options) -> None:
    """Before the error: those jobs run, and their ids are known nowhere else."""
    if sent:
        show.note(f"{show.count(len(sent), 'job')} sent before this:")
    if options.wait or not options.as_json:
        show.job_ids(each.job_id for each in sent)


class _SayWhyWeWait:
    """Waits for room, and says so at first and every few seconds."""

    def __init__(self) -> None:
        self._due_at = 0.0

    def __call__(self, error: FullError) -> None:
        if time.monotonic() >= self._due_at:
            show.note(f"waiting for room: {error}")
            self._due_at = time.monotonic() + WAIT_NOTE_INTERVAL_S


def _wait(session: Session, sent: list[Sent], options: Options) -> int:
    """Collect every job's result; how many items failed."""
    collector = Collector(session.app, session.client, session.settings)
    items_of = {each.job_id: each.items for each in sent}
    collector.known.add(items_of)
    writer = ResultWriter(session.blobs, options.out) if options.out is not None else None
    failed = 0
    predicted = False
    with show.progress() as progress:
        bar = progress.add_task("done", total=sum(items_of.values()))
        for outcome in collector.outcomes(items_of):
            document: dict[str, Any] = show.outcome_document(outcome)
            failed += show.failures(outcome)
            if writer is not None:
                document["files"] = [str(path) for path in writer.write(outcome.items)]
            if options.as_json:
                show.json_line(document)
            elif show.print_predictions(outcome.items, header=not predicted):
                predicted = True
            progress.advance(bar, items_of[outcome.job_id])
    return failed


def _summarise(items: int, jobs: int, failed: int, seconds: float, options: Options) -> None:
    rate = f"{items / seconds:.1f}"
    where = str(options.out) if options.out is not None else "-"
    row = [f"{items:,}", f"{jobs:,}", f"{failed:,}", f"{seconds:.1f}", rate, where]
    print_table(show.err, SUMMARY_COLUMNS, [row])
