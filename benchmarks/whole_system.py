"""A running agewell with all its programs, whose processor time is measured.

The producer runs in this process. It reads, stores and sends files as `agewell enqueue` does, and
waits for the results.
"""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from agewell.producer.receiving.outcome import Outcome
from agewell.producer.sending.files import LocalFile
from agewell.producer.sending.plan import Planned
from agewell.producer.sending.submit import Submitter
from agewell.shared.protocol.messages import Job
from agewell.testing import RunningStack, running_stack
from benchmarks.cost import Cost, Stopwatch

MakeJob = Callable[[list[dict[str, Any]]], Job]
"""Makes a job of the images of its items, by role."""

LONGEST_RUN_S = 600.0


class WholeSystem:
    """A running agewell, and runs of jobs on it."""

    def __init__(self, stack: RunningStack) -> None:
        """Measure a stack."""
        self.stack = stack
        self._blobs = stack.state_dir / "blobs"

    def run(
        self, make_job: MakeJob, paths: Sequence[Path], images_per_job: int | None = None
    ) -> tuple[Cost, list[Outcome]]:
        """Send files, and wait for the results. Returns the cost, and the outcomes in order.

        Args:
            make_job: makes the jobs.
            paths: the files, one for each item.
            images_per_job: None lets the producer choose, as `agewell enqueue` does.
        """
        self.empty()
        watch = self.watch()
        session = self.stack.client.session
        submitter = Submitter(session, make_job=make_job, level=5)
        items = (Planned({"image": LocalFile(path, path.name)}) for path in paths)
        ids = [sent.job_id for sent in submitter.submit(items, images_per_job)]
        outcomes = self.wait(ids)
        return watch.stop(), outcomes

    def wait(self, ids: Sequence[str]) -> list[Outcome]:
        """Wait until the jobs have ended. Returns their outcomes in order.

        Raises:
            RuntimeError: a job or an item of it failed.
        """
        found = {each.job_id: each for each in self.stack.client.outcomes(ids, LONGEST_RUN_S)}
        problems = [str(each.errors) for each in found.values() if each.errors]
        if problems:
            raise RuntimeError(f"{len(problems)} jobs failed, the first with {problems[0]}")
        return [found[each] for each in ids]

    def watch(self) -> Stopwatch:
        """Start a stopwatch that counts the time of this process and of the whole stack."""
        return Stopwatch(self.processor_s)

    def processor_s(self) -> float:
        """Return the processor time so far of this process and of all programs of the stack."""
        parent = psutil.Process(self.stack.process.pid)
        times = [each.cpu_times() for each in (parent, *parent.children(recursive=True))]
        ended = sum(each.children_user + each.children_system for each in times)
        return time.process_time() + ended + sum(each.user + each.system for each in times)

    def empty(self) -> None:
        """Delete all blobs, which would not be written again if they were there.

        The file by which agewell recognises the store stays.
        """
        for each in self._blobs.glob("*"):
            if each.is_dir():
                shutil.rmtree(each)


@contextmanager
def whole_system(**settings: object) -> Iterator[WholeSystem]:
    """Start agewell, and stop it after the block.

    Args:
        settings: names and values of `Settings`, such as ``pool="threads"``.
    """
    with running_stack(**settings) as stack:
        yield WholeSystem(stack)
