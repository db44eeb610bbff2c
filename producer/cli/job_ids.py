"""Prints the ids of jobs that were sent, or saves them to a file if stdout fails."""

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from agewell.producer.cli import terminal
from agewell.producer.cli.streams import stdout_error
from agewell.shared.text.units import count

IDS_SHOWN = 10


def print_ids(ids: Sequence[str], state_dir: Path, *, as_json: bool) -> None:
    """Print ids, one per line. A terminal gets the first ten, and the path of a file with all."""
    if as_json:
        for job_id in ids:
            terminal.print_json({"id": job_id, "state": "waiting"})
    elif terminal.out.is_terminal and len(ids) > IDS_SHOWN:
        for job_id in ids[:IDS_SHOWN]:
            terminal.print_line(job_id)
        kept = _write(ids, state_dir)
        others = f"all in {kept}" if kept else "--json prints them all"
        terminal.print_line(f"... and {len(ids) - IDS_SHOWN:,} more ({others})")
    else:
        for job_id in ids:
            terminal.print_line(job_id)


def save_if_unprinted(ids: Sequence[str], state_dir: Path) -> None:
    """Write the ids to a file, or else to stderr, if stdout has failed."""
    if not ids or stdout_error() is None:
        return
    kept = _write(ids, state_dir)
    if kept is not None:
        terminal.print_note(f"the ids of {count(len(ids), 'job')} are in {kept}")
        return
    for job_id in ids:
        terminal.print_note(job_id)


def _write(ids: Sequence[str], state_dir: Path) -> Path | None:
    """Write ids to a new file in the state directory, or in the temporary one.

    Returns its path, or None if neither can be written.
    """
    name = time.strftime(f"%Y%m%dT%H%M%S-{os.getpid()}.ids")
    for folder in (state_dir / "sent", Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / name).open("x") as file:
                file.writelines(f"{job_id}\n" for job_id in ids)
            return folder / name
        except OSError:
            continue
    return None
