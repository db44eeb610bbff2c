"""Runs an `enqueue` command: sends jobs, waits for them if asked to, and prints a summary."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import typer

from agewell.producer.cli import job_ids, terminal
from agewell.producer.cli.exit_codes import ExitCode
from agewell.producer.cli.predicted_start import predicted_start
from agewell.producer.cli.preview import paths_of, preview
from agewell.producer.cli.send_options import Options
from agewell.producer.cli.signals import handling_signals
from agewell.producer.cli.tables import Column, print_table
from agewell.producer.receiving.collect import AWAY_MAX_S, Collector
from agewell.producer.receiving.outcome import Outcome
from agewell.producer.receiving.write import ResultWriter, prepare_folder
from agewell.producer.sending.limits import LimitError, refuse
from agewell.producer.sending.listing import OnBad
from agewell.producer.sending.plan import Plan, Planned, Sources, check_plan
from agewell.producer.sending.submit import Fields, Submitter
from agewell.producer.session import Session, open_session
from agewell.shared.protocol.levels import level_label
from agewell.shared.protocol.messages import Job
from agewell.shared.protocol.tasks import Queue
from agewell.shared.settings import Settings
from agewell.shared.text.units import count

WAIT_NOTE_INTERVAL_S = 10.0

SUMMARY_COLUMNS = (
    Column("images", right=True),
    Column("jobs", right=True),
    Column("failed", right=True),
    Column("seconds", right=True),
    Column("images/s", right=True, drop=1),
    Column("output", flexible=True),
)


def send_and_report(
    made_by: str,
    sources: Callable[[OnBad], Iterator[Sources]],
    make_job: Callable[[list[Fields]], Job],
    options: Options,
    extras: tuple[str, ...] = (),
    warn: Callable[[Session], None] = lambda _: None,
    queue: Queue = Queue.CV,
) -> None:
    """Send jobs, wait for them if asked to, print a summary, and exit.

    Args:
        made_by: the operation or the model, which becomes part of the names of results.
        sources: finds the files of each item.
        make_job: makes a job of the fields of its items.
        options: the shared options of the command line.
        extras: the endings of the further result files of each item.
        warn: prints warnings about the job before it is sent.
        queue: of the jobs.
    """
    plan = Plan(sources, made_by, options.output.format, extras, options.out, options.skip_existing)
    if options.dry_run:
        limit = Settings.load().max_file_bytes
        good = preview(plan, limit, overwrite=options.overwrite, as_json=options.as_json)
        raise typer.Exit(ExitCode.DONE if good else ExitCode.SOME_FAILED)
    session = open_session()
    warn(session)
    total = check_plan(plan, overwrite=options.overwrite)
    if options.out is not None:
        prepare_folder(options.out)
    failed = EnqueueCommand(session, plan, make_job, options, queue).run(total)
    raise typer.Exit(ExitCode.SOME_FAILED if failed else ExitCode.DONE)


class EnqueueCommand:
    """The jobs of one `enqueue` command, from files to results."""

    def __init__(
        self,
        session: Session,
        plan: Plan,
        make_job: Callable[[list[Fields]], Job],
        options: Options,
        queue: Queue = Queue.CV,
    ) -> None:
        self._session, self._queue = session, queue
        self._starts_at: float | None = None
        self._plan = plan
        self._options = options
        self._submitter = Submitter(
            session,
            make_job=make_job,
            level=options.level,
            deadline_s=options.deadline_s,
            tenant=options.tenant,
            due_s=options.due_s,
            on_full=_NoteAndWait() if options.block else refuse,
        )
        self._inputs: dict[str, list[dict[str, str]]] = {}
        self._printed: set[str] = set()
        """Jobs whose ids or results have been printed."""
        self._has_predictions = False
        self._unwritten = 0

    def run(self, total: int) -> int:
        """Send, wait if asked to, and print. Returns the number of files and items that failed."""
        started = time.monotonic()
        with self._printing_ids_on_error():
            if self._options.wait and terminal.err.is_terminal:
                options = self._options
                self._starts_at = predicted_start(
                    self._session, self._queue, options.level, options.tenant
                )
            self._send(total)
            for bad in self._submitter.bad_files:
                terminal.print_error(bad)
            sent = self._submitter.sent
            items = sum(each.items for each in sent)
            if self._options.wait:
                failed = self._wait()
                _print_summary(items, len(sent), failed, time.monotonic() - started, self._options)
                job_ids.save_if_unprinted(self._ids(), self._session.settings.state_dir)
            else:
                failed = 0
                images, jobs = count(items, "image"), count(len(sent), "job")
                terminal.print_note(f"{images} sent as {jobs}, {level_label(self._options.level)}")
                self._print_ids(self._ids())
        return failed + len(self._submitter.bad_files)

    def _ids(self) -> list[str]:
        return [each.job_id for each in self._submitter.sent]

    @contextlib.contextmanager
    def _printing_ids_on_error(self) -> Iterator[None]:
        """Print the ids of the jobs that go on if an error or a signal ends the block.

        Nobody else knows these ids.
        """
        with handling_signals(signal.default_int_handler, signal.SIGTERM, signal.SIGHUP):
            try:
                yield
            except BaseException:
                with handling_signals(signal.SIG_IGN, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    self._print_open_ids()
                raise

    def _print_open_ids(self) -> None:
        open_ids = [job_id for job_id in self._ids() if job_id not in self._printed]
        if open_ids:
            unsure = self._submitter.unsure
            doubt = f" (the last {unsure:,} of them perhaps not)" if unsure else ""
            terminal.print_note(f"{count(len(open_ids), 'job')} sent before this{doubt}:")
        self._print_ids(open_ids)

    def _print_ids(self, ids: list[str]) -> None:
        unsaid = [job_id for job_id in ids if job_id not in self._printed]
        state_dir = self._session.settings.state_dir
        job_ids.print_ids(unsaid, state_dir, as_json=self._options.as_json)
        job_ids.save_if_unprinted(ids, state_dir)

    def _send(self, total: int) -> None:
        """Send every item. With --json and without --wait, print each job when it is sent."""
        add_bad = self._submitter.add_bad
        with terminal.show_progress() as progress:
            bar = progress.add_task("sent", total=total)
            jobs = self._submitter.submit(
                self._plan.items(add_bad),
                self._options.images_per_job,
                lambda n: progress.advance(bar, n),
            )
            for sent in jobs:
                if self._options.as_json:
                    self._keep_inputs(sent.job_id, sent.items, sent.planned)

    def _keep_inputs(self, job_id: str, items: int, planned: tuple[Planned, ...]) -> None:
        inputs = [paths_of(item) for item in planned]
        if self._options.wait:
            self._inputs[job_id] = inputs
        else:
            self._printed.add(job_id)
            terminal.print_json(
                {"id": job_id, "state": "waiting", "images": items, "inputs": inputs}
            )

    def _wait(self) -> int:
        """Collect the result of every job. Returns the number of items that failed."""
        collector = Collector(self._session.app, self._session.client, self._session.settings)
        items_of = {each.job_id: each.items for each in self._submitter.sent}
        collector.known.add(items_of)
        failed = 0
        with terminal.show_progress() as progress:
            total = sum(items_of.values())
            bar = progress.add_task("done", total=total, starts_at=self._starts_at)
            for outcome in collector.outcomes(items_of):
                failed += self._print_outcome(outcome)
                progress.advance(bar, items_of[outcome.job_id])
        if self._unwritten:
            terminal.print_note(
                f"To write a result again: agewell result ID --out {self._options.out}"
            )
        return failed

    def _print_outcome(self, outcome: Outcome) -> int:
        """Write and print the results of one job. Returns the number of items that failed."""
        document: dict[str, Any] = terminal.outcome_document(outcome)
        failed = terminal.print_failures(outcome)
        if self._options.as_json:
            document["inputs"] = self._inputs.pop(outcome.job_id, [])
        if self._options.out is not None:
            writer = ResultWriter(
                self._session.blobs,
                self._options.out,
                overwrite=self._options.overwrite,
                patience_s=AWAY_MAX_S,
            )
            written = writer.write(outcome.items)
            self._unwritten += terminal.print_unwritten(outcome.job_id, written.failures)
            failed += len(written.failures)
            document |= written.document()
        if self._options.as_json:
            terminal.print_json(document)
        elif terminal.print_predictions(outcome.items, header=not self._has_predictions):
            self._has_predictions = True
        self._printed.add(outcome.job_id)
        return failed


class _NoteAndWait:
    """Prints why sending waits, at first and every few seconds after that."""

    def __init__(self) -> None:
        self._due_at = 0.0

    def __call__(self, error: LimitError) -> None:
        if time.monotonic() >= self._due_at:
            terminal.print_note(f"waiting for room: {error}")
            self._due_at = time.monotonic() + WAIT_NOTE_INTERVAL_S


def _print_summary(items: int, jobs: int, failed: int, seconds: float, options: Options) -> None:
    rate = f"{items / seconds:.1f}"
    output = str(options.out) if options.out is not None else "-"
    row = [f"{items:,}", f"{jobs:,}", f"{failed:,}", f"{seconds:.1f}", rate, output]
    print_table(terminal.err, SUMMARY_COLUMNS, [row])
